"""Events between parts of one process: who publishes knows no subscriber."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

KEPT_FAILURES = 100
Handler = Callable[[Any], None]


class EventBus:
    """Topics with subscribers, called at once and in order; one that fails does not keep the others from it."""

    def __init__(self) -> None:
        self._handlers: dict[str, list[Handler]] = {}
        self.failures: list[tuple[str, Exception]] = []

    def subscribe(self, topic: str, handler: Handler) -> Callable[[], None]:
        """Call ``handler`` with each event of a topic; return the way to end it."""
        self._handlers.setdefault(topic, []).append(handler)

        def unsubscribe() -> None:
            if handler in self._handlers.get(topic, []):
                self._handlers[topic].remove(handler)

        return unsubscribe

    def publish(self, topic: str, event: Any) -> None:
        """Hand an event to every subscriber of the topic."""
        for handler in list(self._handlers.get(topic, [])):
            try:
                handler(event)
            except Exception as error:  # noqa: BLE001, RUF100 - a subscriber's fault is its own
                self.failures.append((topic, error))
                del self.failures[:-KEPT_FAILURES]

"""Who gets which frames: clients, their topics, and delivery with backpressure."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from typing import TYPE_CHECKING

from aiohttp import WSMsgType, web

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

log = logging.getLogger("quietcore.sim")


class Client:
    """One WebSocket connection and what was delivered to it."""

    _numbers = itertools.count(1)

    def __init__(self, socket: web.WebSocketResponse, abort: Callable[[], None]) -> None:
        self.number = next(self._numbers)
        self.socket = socket
        self.abort = abort
        self.topics: set[str] = set()
        self.delivered = 0
        self.sending_since: float | None = None
        self.mute = False  # open, and nothing goes out any more

    async def send(self, raw: bytes) -> bool:
        """Send one text frame, waiting while the client's buffers are full; False where it is gone."""
        if self.mute:
            return True
        self.sending_since = time.monotonic()
        try:
            await self.socket.send_frame(raw, WSMsgType.TEXT)
        except (ConnectionError, RuntimeError):
            return False
        finally:
            self.sending_since = None
        return True


class Hub:
    """Topics and their subscribers. A frame goes to each subscriber exactly once, in order."""

    def __init__(self, *, stall_limit: float = 30.0) -> None:
        self.clients: set[Client] = set()
        self.stall_limit = stall_limit
        self._subscribers: dict[str, tuple[Client, ...]] = {}

    def subscribe(self, client: Client, topics: Iterable[str]) -> None:
        """Add `client` to each topic it is not yet in."""
        self.clients.add(client)
        for topic in topics:
            if topic not in client.topics:
                client.topics.add(topic)
                self._subscribers[topic] = (*self._subscribers.get(topic, ()), client)

    def unsubscribe(self, client: Client, topics: Iterable[str]) -> None:
        """Remove `client` from each topic."""
        for topic in topics:
            client.topics.discard(topic)
            self._subscribers[topic] = tuple(
                one for one in self._subscribers.get(topic, ()) if one is not client
            )

    def drop(self, client: Client) -> None:
        """Forget a client that is gone."""
        self.unsubscribe(client, list(client.topics))
        self.clients.discard(client)

    def subscribed(self) -> set[str]:
        """Return the topics that someone is in."""
        return {topic for topic, clients in self._subscribers.items() if clients}

    async def publish(self, topic: str, raw: bytes) -> int:
        """Deliver a frame to every subscriber, waiting for slow ones; return how many got it."""
        reached = 0
        for client in self._subscribers.get(topic, ()):
            if topic not in client.topics:
                continue  # left while a slower one was waited for
            if await client.send(raw):
                client.delivered += 1
                reached += 1
            else:
                self.drop(client)
        return reached

    async def watch_for_stalls(self) -> None:
        """Cut off, as a venue does, a client that takes nothing for `stall_limit` seconds."""
        while True:
            await asyncio.sleep(min(1.0, self.stall_limit / 4))
            now = time.monotonic()
            for client in list(self.clients):
                since = client.sending_since
                if since is not None and now - since > self.stall_limit:
                    log.warning(
                        "client %d takes nothing for %.0f s: cut off", client.number, self.stall_limit
                    )
                    client.abort()

"""pybit's own message handler, without its network."""

from __future__ import annotations

import json
from typing import Any

from pybit.unified_trading import WebSocket

from serve import serve


class PybitBook:
    """A WebSocket object that never connects; its callback keeps the book that it is handed."""

    def __init__(self, symbol: str) -> None:
        self._socket = WebSocket.__new__(WebSocket)
        self._socket.data = {}
        self._socket.callback_directory = {}
        self._book: dict[str, Any] = {}

    def _on_book(self, message: dict[str, Any]) -> None:
        self._book = message["data"]

    def take(self, message: bytes) -> None:
        """Do what the socket's on_message does."""
        parsed = json.loads(message)
        self._socket.callback_directory.setdefault(parsed["topic"], self._on_book)
        self._socket._handle_incoming_message(parsed)
        # pybit keeps its levels unsorted: the best has to be looked for.
        self.quote = (
            max(float(price) for price, _ in self._book["b"]),
            min(float(price) for price, _ in self._book["a"]),
        )

    def best(self) -> tuple[str, str]:
        """Return the quote after the last message."""
        return str(self.quote[0]), str(self.quote[1])


if __name__ == "__main__":
    serve("pybit", PybitBook)

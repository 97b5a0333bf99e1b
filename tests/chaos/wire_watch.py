"""What a client writes on one connection, read as HTTP/1.1 requests and, after an upgrade, WebSocket frames.

Only order requests are kept: they are what must never be sent twice. RFC 9112, RFC 6455 section 5.2.
"""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Callable
from typing import Any, NamedTuple

MOST_BYTES = 1 << 20  # of one message; more is not what these clients send
TEXT = 1


class Sending(NamedTuple):
    """An order request as it left the client. ``at``: CLOCK_MONOTONIC, seconds."""

    at: float
    line: str
    client_id: str
    price: str
    quantity: str
    side: str


class WireWatch:
    """One connection of line ``line``; ``found`` gets each order request once its last byte was read."""

    def __init__(self, line: str, found: Callable[[Sending], None]) -> None:
        self._line, self._found = line, found
        self._rest = bytearray()
        self._frames = False
        self._text = bytearray()

    def read(self, data: bytes) -> None:
        """Take bytes as they came."""
        self._rest += data
        while self._frame() if self._frames else self._request():
            pass
        if len(self._rest) > MOST_BYTES:
            self._rest.clear()

    def _request(self) -> bool:
        head, end, _ = bytes(self._rest).partition(b"\r\n\r\n")
        if not end:
            return False
        first, *lines = head.decode("latin-1").split("\r\n")
        fields = {
            name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
        }
        length = int(fields.get("content-length", "0") or 0)
        whole = len(head) + 4 + length
        if len(self._rest) < whole:
            return False
        body = bytes(self._rest[len(head) + 4 : whole])
        del self._rest[:whole]
        self._frames = fields.get("upgrade", "").lower() == "websocket"
        if " /v5/order/create " in first:
            self._take(body)
        return True

    def _frame(self) -> bool:
        buffer = self._rest
        if len(buffer) < 2:
            return False
        final, opcode = buffer[0] & 0x80, buffer[0] & 0x0F
        masked, length, at = buffer[1] & 0x80, buffer[1] & 0x7F, 2
        if length >= 126:
            size = 2 if length == 126 else 8
            if len(buffer) < at + size:
                return False
            length = struct.unpack_from(">H" if size == 2 else ">Q", buffer, at)[0]
            at += size
        mask = bytes(buffer[at : at + 4]) if masked else b"\0\0\0\0"
        at += 4 if masked else 0
        if len(buffer) < at + length:
            return False
        content = bytes(byte ^ mask[i & 3] for i, byte in enumerate(buffer[at : at + length]))
        del buffer[: at + length]
        if opcode in (0, TEXT):
            self._text += content
            if final:
                text, self._text = bytes(self._text), bytearray()
                self._message(text)
        return True

    def _message(self, text: bytes) -> None:
        try:
            message = json.loads(text)
        except ValueError:
            return
        if isinstance(message, dict) and message.get("op") == "order.create":
            for order in message.get("args") or []:
                self._keep(order)

    def _take(self, body: bytes) -> None:
        try:
            self._keep(json.loads(body))
        except ValueError:
            return

    def _keep(self, order: Any) -> None:
        words = {name: str(order.get(name, "")) for name in ("orderLinkId", "price", "qty", "side")}
        self._found(
            Sending(
                time.monotonic(),
                self._line,
                words["orderLinkId"],
                words["price"],
                words["qty"],
                words["side"],
            )
        )

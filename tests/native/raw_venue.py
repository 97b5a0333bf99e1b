"""An exchange on bare sockets: fast, and able to break every rule of TCP, WebSocket and its own protocol.

One thread, driven by the caller: nothing happens between two calls of `serve`.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import select
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


def frame(payload: bytes, opcode: int = TEXT, final: bool = True) -> bytes:
    """A WebSocket frame as a server sends it (RFC 6455, section 5.2)."""
    first = opcode | (0x80 if final else 0)
    if len(payload) < 126:
        return struct.pack("!BB", first, len(payload)) + payload
    if len(payload) < 1 << 16:
        return struct.pack("!BBH", first, 126, len(payload)) + payload
    return struct.pack("!BBQ", first, 127, len(payload)) + payload


@dataclass
class Client:
    """One connection; `streaming` after the WebSocket handshake."""

    socket: socket.socket
    received: bytes = b""
    streaming: bool = False
    unsent: bytearray = field(default_factory=bytearray)


class RawVenue:
    """Bybit linear instruments over HTTP and one stream; subscriptions are answered through `on_topic`."""

    def __init__(self, symbols: list[str], on_topic: Callable[[str], bytes | None]) -> None:
        self.symbols = symbols
        self.on_topic = on_topic
        self.client: Client | None = None
        self.streams = 0
        self._clients: dict[int, Client] = {}
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]

    def close(self) -> None:
        """Close everything."""
        for client in self._clients.values():
            client.socket.close()
        self._listener.close()

    @property
    def ready(self) -> bool:
        """A stream is open."""
        return self.client is not None

    def send(self, data: bytes) -> None:
        """Queue bytes for the stream; gone where there is none."""
        if self.client is not None:
            self.client.unsent += data
            if len(self.client.unsent) > 1 << 16:
                self.flush()

    def flush(self) -> None:
        """Hand over everything queued, serving meanwhile."""
        while self.client is not None and self.client.unsent:
            self.serve(0.05)

    def hang_up(self, reset: bool) -> None:
        """End the stream, in order or with a reset."""
        if self.client is None:
            return
        if reset:
            self.client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._drop(self.client)

    def serve(self, timeout: float = 0.0) -> None:
        """Accept, read, answer and write whatever can be done now; wait for something up to `timeout`."""
        writers = [c.socket for c in self._clients.values() if c.unsent]
        readers = [self._listener, *(c.socket for c in self._clients.values())]
        can_read, can_write, _ = select.select(readers, writers, [], timeout)
        for ready in can_read:
            if ready is self._listener:
                accepted, _ = self._listener.accept()
                accepted.setblocking(False)
                self._clients[accepted.fileno()] = Client(accepted)
            elif (client := self._clients.get(ready.fileno())) is not None:
                self._read(client)
        for ready in can_write:
            if (client := self._clients.get(ready.fileno())) is not None:
                self._write(client)

    def _drop(self, client: Client) -> None:
        self._clients.pop(client.socket.fileno(), None)
        client.socket.close()
        if self.client is client:
            self.client = None

    def _write(self, client: Client) -> None:
        try:
            sent = client.socket.send(client.unsent)
        except BlockingIOError:
            return
        except OSError:
            self._drop(client)
            return
        del client.unsent[:sent]

    def _read(self, client: Client) -> None:
        try:
            data = client.socket.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop(client)
            return
        client.received += data
        if client.streaming:
            self._frames(client)
        elif b"\r\n\r\n" in client.received:
            self._request(client)

    def _request(self, client: Client) -> None:
        head, _, client.received = client.received.partition(b"\r\n\r\n")
        key = re.search(rb"Sec-WebSocket-Key: *(\S+)", head, re.IGNORECASE)
        if key:
            accept = base64.b64encode(hashlib.sha1(key.group(1) + GUID).digest())
            client.unsent += (
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            )
            client.unsent += b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
            client.streaming = True
            self.client = client
            self.streams += 1
            return
        rows = [
            {
                "symbol": symbol,
                "status": "Trading",
                "priceFilter": {"tickSize": "0.1"},
                "lotSizeFilter": {"qtyStep": "0.001"},
            }
            for symbol in self.symbols
        ]
        body = json.dumps({"retCode": 0, "result": {"list": rows, "nextPageCursor": ""}}).encode()
        client.unsent += b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
        client.unsent += body

    def _frames(self, client: Client) -> None:
        while len(data := client.received) >= 6:
            length, at = data[1] & 127, 2
            if length == 126:
                length, at = struct.unpack_from("!H", data, 2)[0], 4
            if len(data) < at + 4 + length:
                return
            mask = data[at : at + 4]
            payload = bytes(b ^ mask[i & 3] for i, b in enumerate(data[at + 4 : at + 4 + length]))
            client.received = data[at + 4 + length :]
            opcode = data[0] & 15
            if opcode == PING:
                client.unsent += frame(payload, PONG)
            elif opcode == TEXT:
                self._answer(client, json.loads(payload))
            elif opcode == CLOSE:
                with contextlib.suppress(OSError):
                    client.socket.send(frame(payload[:2], CLOSE))
                self._drop(client)
                return

    def _answer(self, client: Client, request: dict[str, object]) -> None:
        if request.get("op") == "ping":
            client.unsent += frame(b'{"success":true,"ret_msg":"pong","op":"ping"}')
        if request.get("op") != "subscribe":
            return
        answer = {"success": True, "ret_msg": "", "op": "subscribe", "req_id": request.get("req_id", "")}
        client.unsent += frame(json.dumps(answer).encode())
        topics = request["args"]
        assert isinstance(topics, list)
        for topic in topics:
            if (message := self.on_topic(topic)) is not None:
                client.unsent += message

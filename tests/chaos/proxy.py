"""A TCP proxy for each connection of the pipeline, and what can happen to a network there.

All lines run on one event loop in a thread of their own. What is set here from another thread is read by the pumps
at their next chunk, or within POLL_SECONDS.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import socket
import struct
import threading
from collections.abc import Callable
from typing import Self

from tests.chaos.wire_watch import Sending, WireWatch

POLL_SECONDS = 0.02
CHUNK = 1 << 16
RESET_NOW = struct.pack("ii", 1, 0)  # SO_LINGER: on, 0 s


class Way(enum.Enum):
    """A direction."""

    UP = "to the venue"
    DOWN = "to the client"


class Cut(enum.Enum):
    """How the connections of a line end."""

    CLOSE = "closed"
    RESET = "reset"
    MID_FRAME = "cut in mid-frame"
    HALF_CLOSE = "half-closed"


class Link:
    """One connection through the proxy."""

    def __init__(self, line: Line, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.line, self.client, self.server = line, client, server
        self.cut_next = False  # half of the next chunk to the client goes out, then it is reset
        self.mute = False  # nothing comes back any more on this connection

    def reset(self) -> None:
        """End both ends with RST."""
        for writer in (self.client, self.server):
            found = writer.get_extra_info("socket")
            if found is not None:
                with contextlib.suppress(OSError):
                    found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_NOW)
            writer.transport.abort()

    def close(self) -> None:
        """End both ends with FIN."""
        for writer in (self.client, self.server):
            writer.close()

    def half_close(self) -> None:
        """Tell the client that nothing will come any more; take what it sends."""
        with contextlib.suppress(OSError, RuntimeError):
            self.client.write_eof()
        self.mute = True


class Line:
    """A port that stands for the venue's, and what happens to what goes through it."""

    def __init__(self, proxy: Proxy, name: str) -> None:
        self.name = name
        self.port = 0
        self.links: set[Link] = set()
        self.connections = 0
        self._proxy = proxy
        self.heal()

    def heal(self) -> None:
        """Let everything through again; connections that were damaged stay damaged."""
        self.stalled: set[Way] = set()
        self.lost: set[Way] = set()
        self.delay = {Way.UP: 0.0, Way.DOWN: 0.0}
        self.rate = {Way.UP: 0.0, Way.DOWN: 0.0}  # bytes a second, 0: any
        self.refused = False
        self.answer = b""  # what every request gets instead of the venue's answer

    def cut(self, how: Cut) -> None:
        """End every connection there is."""
        self._proxy.call(lambda: self._cut(how))

    def _cut(self, how: Cut) -> None:
        for link in list(self.links):
            if how is Cut.RESET:
                link.reset()
            elif how is Cut.CLOSE:
                link.close()
            elif how is Cut.MID_FRAME:
                link.cut_next = True
            else:
                link.half_close()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection until it ends."""
        self.connections += 1
        if self.answer:
            await self._refuse(reader, writer)
            return
        try:
            if self.refused:
                raise ConnectionRefusedError
            target, venue = await asyncio.open_connection("127.0.0.1", self._proxy.venue_port)
        except OSError:
            found = writer.get_extra_info("socket")
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_NOW)
            writer.transport.abort()
            return
        link = Link(self, writer, venue)
        self.links.add(link)
        watch = WireWatch(self.name, self._proxy.sent)
        pumps = [
            asyncio.create_task(self._pump(link, Way.UP, reader, venue, watch)),
            asyncio.create_task(self._pump(link, Way.DOWN, target, writer, None)),
        ]
        try:
            # Told to end with the proxy, it ends in order: asyncio's own callback reports a cancelled task as an error.
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
                await asyncio.wait(pumps, timeout=0.2)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            self.links.discard(link)
            link.close()

    async def _refuse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(self.answer)
            await writer.drain()
        writer.close()

    async def _pump(
        self,
        link: Link,
        way: Way,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        watch: WireWatch | None,
    ) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK):
                if watch is not None:
                    watch.read(data)
                due = loop.time() + self.delay[way]
                while way in self.stalled or loop.time() < due:  # noqa: ASYNC110 -- set by another thread
                    await asyncio.sleep(POLL_SECONDS)
                if self.answer and way is Way.UP:
                    # A kept connection, and the venue is answered for now.
                    link.client.write(self.answer)
                    link.client.close()
                    return
                if way in self.lost or (link.mute and way is Way.DOWN):
                    continue
                if link.cut_next and way is Way.DOWN:
                    writer.write(data[: max(1, len(data) // 2)])
                    await writer.drain()
                    link.reset()
                    return
                await self._write(way, writer, data)

    async def _write(self, way: Way, writer: asyncio.StreamWriter, data: bytes) -> None:
        while data:
            rate = self.rate[way]
            piece = max(1, int(rate * POLL_SECONDS)) if rate else len(data)
            writer.write(data[:piece])
            await writer.drain()
            data = data[piece:]
            if data:
                await asyncio.sleep(POLL_SECONDS)


class Proxy:
    """All lines, on a loop in a thread. ``sent`` gets every order request that any client writes."""

    def __init__(self, names: list[str], sent: Callable[[Sending], None]) -> None:
        self.venue_port = 0
        self.sent = sent
        self.lines = {name: Line(self, name) for name in names}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def call(self, what: Callable[[], None]) -> None:
        """Run ``what`` on the loop, and return when it has run."""
        done = threading.Event()

        def work() -> None:
            try:
                what()
            finally:
                done.set()

        self._loop.call_soon_threadsafe(work)
        if not done.wait(10):
            raise RuntimeError("the proxy's loop does not turn")

    async def _listen(self) -> None:
        self._servers = []
        for line in self.lines.values():
            server = await asyncio.start_server(line.serve, "127.0.0.1", 0)
            line.port = server.sockets[0].getsockname()[1]
            self._servers.append(server)

    async def _end(self) -> None:
        for server in self._servers:
            server.close()
        for task in asyncio.all_tasks():
            if task is not asyncio.current_task():
                task.cancel()
        await asyncio.sleep(POLL_SECONDS)

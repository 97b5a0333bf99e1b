"""One measurement of one address: TCP, TLS, and round trips of WebSocket or HTTP over the open connection.

HTTP and WebSocket are spoken by hand here: a library would resolve, pool and retry, and the times of the steps
could not be told apart. Answers are bounded; nothing of them is used but that they came.
"""

from __future__ import annotations

import asyncio
import base64
import os
import socket
import ssl
import statistics
import time
from typing import NamedTuple

from quietcore.venues.interface import Target

ROUND_TRIPS = 3
MOST_BYTES = 1 << 20


class Candidate(NamedTuple):
    """A target at one of its host's addresses."""

    target: Target
    address: str


class Measurement(NamedTuple):
    """Nanoseconds; 0 where a step was not reached. ``error``: why it failed, empty where it did not."""

    at: float  # UTC seconds
    dns_ns: int
    tcp_ns: int
    tls_ns: int
    round_trip_ns: int
    error: str = ""


async def resolve(host: str, port: int) -> list[str]:
    """Return the host's addresses, IPv4 and IPv6, without duplicates."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


async def measure(
    candidate: Candidate, context: ssl.SSLContext | None, seconds: float, dns_ns: int = 0
) -> Measurement:
    """Connect, with TLS by ``context``, ask `ROUND_TRIPS` times, close.

    Failures are part of what is measured and never raised.
    """
    times = {"tcp": 0, "tls": 0, "trip": 0}
    at = time.time()
    error = ""
    try:
        async with asyncio.timeout(seconds):
            await _measure(candidate, context, times)
    except TimeoutError:
        error = f"no answer within {seconds:g} s"
    except (
        OSError,
        ssl.SSLError,
        asyncio.IncompleteReadError,
        asyncio.LimitOverrunError,
        ValueError,
    ) as problem:
        error = " ".join(str(problem).split()) or type(problem).__name__
    return Measurement(at, dns_ns, times["tcp"], times["tls"], times["trip"], error)


async def _measure(candidate: Candidate, context: ssl.SSLContext | None, times: dict[str, int]) -> None:
    target, loop = candidate.target, asyncio.get_running_loop()
    family = socket.AF_INET6 if ":" in candidate.address else socket.AF_INET
    plain = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        plain.setblocking(False)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        begin = time.perf_counter_ns()
        await loop.sock_connect(plain, (candidate.address, target.port))
        times["tcp"] = time.perf_counter_ns() - begin
        begin = time.perf_counter_ns()
        if target.tls:
            assert context is not None
            reader, writer = await asyncio.open_connection(
                sock=plain, ssl=context, server_hostname=target.host
            )
            times["tls"] = time.perf_counter_ns() - begin
        else:
            reader, writer = await asyncio.open_connection(sock=plain)
    except BaseException:
        plain.close()
        raise
    try:
        ask = _websocket if target.kind == "websocket" else _rest
        times["trip"] = int(statistics.median(await ask(target, reader, writer)))
    finally:
        writer.transport.abort()


async def _head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    """Return status and headers of an answer."""
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    words = lines[0].split()
    if len(words) < 2 or not words[1].isdigit():
        raise ValueError("answer is no HTTP")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
    return int(words[1]), headers


async def _rest(target: Target, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> list[int]:
    request = f"GET {target.path} HTTP/1.1\r\nHost: {target.host}\r\nUser-Agent: quietcore\r\n\r\n".encode()
    trips = []
    for _ in range(ROUND_TRIPS):
        begin = time.perf_counter_ns()
        writer.write(request)
        status, headers = await _head(reader)
        trips.append(time.perf_counter_ns() - begin)
        if status != 200:
            raise ValueError(f"HTTP {status}")
        if "chunked" in headers.get("transfer-encoding", ""):
            await reader.readuntil(b"0\r\n\r\n")
        else:
            size = int(headers.get("content-length", "0"))
            if size > MOST_BYTES:
                raise ValueError(f"an answer of {size} bytes")
            await reader.readexactly(size)
    return trips


async def _websocket(target: Target, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> list[int]:
    key = base64.b64encode(os.urandom(16)).decode()
    writer.write(
        f"GET {target.path} HTTP/1.1\r\nHost: {target.host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nUser-Agent: quietcore\r\n\r\n".encode()
    )
    status, _ = await _head(reader)
    if status != 101:
        raise ValueError(f"HTTP {status} instead of a WebSocket")
    payload = target.ping.encode()
    mask = os.urandom(4)
    masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
    assert len(payload) < 126
    frame = bytes((0x81, 0x80 | len(payload))) + mask + masked
    trips = []
    for _ in range(ROUND_TRIPS):
        begin = time.perf_counter_ns()
        writer.write(frame)
        await _frame(reader)
        trips.append(time.perf_counter_ns() - begin)
    return trips


async def _frame(reader: asyncio.StreamReader) -> None:
    """Read one frame that is no control frame."""
    while True:
        first, second = await reader.readexactly(2)
        size = second & 0x7F
        if size >= 126:
            size = int.from_bytes(await reader.readexactly(2 if size == 126 else 8), "big")
        if size > MOST_BYTES:
            raise ValueError(f"a frame of {size} bytes")
        await reader.readexactly(size)
        if first & 0x0F == 8:
            raise ValueError("closed by the venue")
        if first & 0x0F < 8:
            return

#!/usr/bin/env python3
"""Run the fuzzers for some seconds each, from messages of the recordings where they are there.

Usage: run.py [SECONDS]      (default 20; the corpus grows in build/fuzz/corpus and is used again)

Exit status: 0 nothing found; 1 a finding, which is left in build/fuzz; 2 not built.
"""

from __future__ import annotations

import gzip
import itertools
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BINARIES = ROOT / "build/native/fuzz/bin"
OUT = ROOT / "build/fuzz"
RECORDINGS = {
    "fuzz_bybit": "bybit-linear-xrpusdt-ob500-20241201.jsonl",
    "fuzz_binance": "binance-usdm-btcusdt-20240808.gz",
    "fuzz_multicast": None,
    "fuzz_attach": None,
    "fuzz_instruments": None,
    "fuzz_control": None,
    "fuzz_recording": None,
}
MADE = {
    "fuzz_instruments": [
        b'{"retCode":0,"result":{"list":[{"symbol":"X","status":"Trading","priceFilter":{"tickSize":"0.1"},'
        b'"lotSizeFilter":{"qtyStep":"1"}}],"nextPageCursor":"a%3A2"}}',
        b'{"symbols":[{"symbol":"X","status":"TRADING","filters":[{"filterType":"PRICE_FILTER","tickSize":"0.1"},'
        b'{"filterType":"LOT_SIZE","stepSize":"1"}]}]}',
        b'{"retCode":10006,"retMsg":"Too many visits!"}',
    ],
    "fuzz_control": [b"status", b"switch a wss://host:1/x https://host", b"switch b ws://[::1]:9\r"],
    "fuzz_recording": [b'1723161255319702566 {"a":1}\n# 5 messages are missing here: x\n\n{"b":2}\r\n{'],
}


def packets() -> Iterator[bytes]:
    """Packets of native/schema/multicast.md, as fuzz_multicast takes them: one input with all kinds in order."""

    def packet(channel: int, sequence: int, *messages: bytes) -> bytes:
        body = b"".join(messages)
        head = (b"QCST", 1, channel, len(messages), 48 + len(body), 2, 7, 1, sequence, 5, channel)
        whole = struct.pack("<4sBBHHHIQQqQ", *head) + body
        return struct.pack("<H", len(whole) | 0x8000) + whole

    def message(kind: int, flags: int, symbol: int, body: bytes) -> bytes:
        return struct.pack("<BBHHH", kind, flags, 8 + len(body), symbol, 0) + body

    def book(flags: int, number: int, part: int, parts: int) -> bytes:
        head = struct.pack("<qQQHHHH", 1, number, 9, 1, 1, part, parts)
        return message(3, flags, 0, head + struct.pack("<4q", 10**10, 10**8, 2 * 10**10, 10**8))

    symbol = message(5, 0, 0, struct.pack("<32sIIBB6x", b"BTCUSDT", 1, 1, 1, 3))
    yield (
        packet(1, 1, symbol, book(1, 1, 0, 1))
        + packet(0, 1, book(0, 2, 0, 2))
        + packet(0, 2, book(0, 2, 1, 2))
    )
    yield packet(1, 1, symbol) + packet(0, 1, message(1, 0, 0, struct.pack("<5q", 1, 10, 1, 20, 1)))
    yield packet(1, 1, symbol) + packet(0, 1, message(2, 1, 0, struct.pack("<3qQ", 1, 10**8, 10**8, 3)))
    yield (
        packet(1, 1, symbol)
        + packet(0, 3, message(4, 0, 0, struct.pack("<Q", 3)))
        + packet(0, 9, message(6, 0, 0, b""))
    )


def seed(corpus: Path, recording: str | None) -> None:
    """Put a hundred recorded messages of moderate size into the corpus, or packets made for it."""
    corpus.mkdir(parents=True, exist_ok=True)
    folder = Path(os.environ.get("QUIETCORE_DATA", ROOT.parent / "shared/data"))
    if corpus.name == "fuzz_multicast":
        for number, content in enumerate(packets()):
            (corpus / f"made-{number}").write_bytes(content)
    for number, content in enumerate(MADE.get(corpus.name, [])):
        (corpus / f"made-{number}").write_bytes(content)
    if recording is None or not (folder / recording).exists():
        return
    path = folder / recording
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as lines:
        short = (line.rstrip(b"\n") for line in lines if len(line) < 4000)
        for number, line in enumerate(itertools.islice(short, 100)):
            message = line if line.startswith(b"{") else line.split(b" ", 1)[1]
            (corpus / f"recorded-{number}").write_bytes(message)


def main(words: list[str]) -> int:
    """Run each fuzzer."""
    seconds = int(words[0]) if words else 20
    for name, recording in RECORDINGS.items():
        binary = BINARIES / name
        if not binary.exists():
            print(f"fuzz: {binary} is not there; remedy: make fuzz", file=sys.stderr)
            return 2
        corpus = OUT / "corpus" / name
        seed(corpus, recording)
        print(f"== {name}: {seconds} s", flush=True)
        command = [str(binary), f"-max_total_time={seconds}", "-max_len=8192", "-print_final_stats=1"]
        done = subprocess.run(
            [*command, f"-artifact_prefix={OUT}/{name}-", str(corpus)],
            capture_output=True,
            text=True,
            check=False,
        )
        stats = [line for line in done.stderr.splitlines() if line.startswith("stat::")]
        print("\n".join(stats[:2]), flush=True)
        if done.returncode != 0:
            print(done.stderr[-4000:], file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

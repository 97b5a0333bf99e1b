"""Faults at random, and every LIVE book compared with the truth.

`make test` runs a short version; `make random-proof` the whole one, a million messages and each kind of fault at least
200 times, and prints its counts.
"""

from __future__ import annotations

import os
import random
import signal
import struct
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.native.conftest import Start
from tests.native.following import output
from tests.native.random_check import TruthCheck
from tests.native.random_market import Symbol, framed
from tests.native.raw_venue import PING, RawVenue, frame
from tests.native.ring_file import RingFile

MESSAGES = int(os.environ.get("QUIETCORE_RANDOM_MESSAGES", "20000"))
EACH_FAULT = max(3, 200 * MESSAGES // 1_000_000)
SYMBOLS = 40
CHUNK = 250
CONFIG = """[connection]
idle_timeout = 5
retry_first = 0.01
retry_limit = 0.1
resync_first = 0.01
resync_limit = 0.05
stale_after = 10
[ring]
capacity = 131072
"""
# What a fault takes away: nothing, one book, or the connection and with it every book.
HARMLESS = ("duplicated", "u is 1", "snapshot", "unknown symbol", "garbage", "fragmented", "ping")
ONE_BOOK = ("dropped", "reordered", "truncated", "bad number", "too large", "crossed")
CONNECTION = ("closed", "reset", "oversized", "cut frame", "killed")


class Run:
    """The market, the exchange, the feed handler and the check, in lockstep."""

    def __init__(self, start: Callable[[int], subprocess.Popen[str]], feed: str, seed: int) -> None:
        """`start` takes the exchange's port."""
        self.chance = random.Random(seed)
        self.symbols = [Symbol(f"S{n}USDT", self.chance) for n in range(SYMBOLS)]
        self.healthy = [False] * SYMBOLS
        self.expected: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.sent = 0
        self.clean: list[set[int]] = [set() for _ in self.symbols]  # seqs sent to books without a fault
        self.by_name = {symbol.name: n for n, symbol in enumerate(self.symbols)}
        self.venue = RawVenue([symbol.name for symbol in self.symbols], self.on_topic)
        self._start = start
        self.process = start(self.venue.port)
        self.wait(lambda: Path(f"/dev/shm/quietcore.{feed}").exists(), "a ring")
        self.check: TruthCheck | None = None
        self.wait(lambda: self.venue.ready and all(self.healthy), "the first subscriptions")
        self.check = TruthCheck(RingFile(feed), self.symbols)
        self.settle()

    def on_topic(self, topic: str) -> bytes | None:
        """A subscription: its book as it stands, from which on it is right again."""
        kind, _, name = topic.rpartition(".")
        if not kind.startswith("orderbook"):
            return None
        n = self.by_name[name]
        self.symbols[n].record()
        self.clean[n].add(self.symbols[n].seq)
        self.healthy[n] = True
        return framed(self.symbols[n].snapshot())

    def wait(self, holds: Callable[[], bool], what: str, seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            self.venue.serve(0.002)
            assert time.monotonic() < deadline, f"not within {seconds} s: {what}"

    def settle(self) -> None:
        """Let the feed handler come to the end of what was sent."""
        assert self.check is not None
        check = self.check
        self.venue.flush()

        def arrived() -> bool:
            check.read()
            return all(
                not healthy or last >= symbol.seq
                for healthy, last, symbol in zip(self.healthy, check.last_seq, self.symbols, strict=True)
            )

        self.wait(arrived, f"every book at its newest update; last {self.faults}")
        check.forget_before()

    def move(self, n: int) -> bytes:
        self.sent += 1
        message = self.symbols[n].move()
        if self.healthy[n]:
            self.clean[n].add(self.symbols[n].seq)
        return message

    def ordinary(self) -> None:
        self.venue.send(framed(self.move(self.chance.randrange(SYMBOLS))))

    def harm(self, n: int) -> None:
        """From here on this book is not right, until the venue sends it again."""
        assert self.check is not None
        self.healthy[n] = False
        if not self.check.ended_ns[n]:
            self.check.ended_ns[n] = time.time_ns()

    def inject(self, kind: str) -> None:
        self.faults[kind] += 1
        if kind in CONNECTION:
            self.break_connection(kind)
            return
        candidates = [n for n in range(SYMBOLS) if self.healthy[n]]
        if not candidates:
            self.wait(lambda: any(self.healthy), "a book to harm")
            candidates = [n for n in range(SYMBOLS) if self.healthy[n]]
        n = self.chance.choice(candidates)
        if kind in HARMLESS:
            self.annoy(kind, n)
        else:
            self.break_book(kind, n)

    def annoy(self, kind: str, n: int) -> None:
        venue, symbol = self.venue, self.symbols[n]
        if kind == "duplicated":
            message = framed(self.move(n))
            venue.send(message + message)
        elif kind == "u is 1":
            message = symbol.restart(self.chance.choice(("snapshot", "delta")))
            self.clean[n].add(symbol.seq)
            venue.send(framed(message))
        elif kind == "snapshot":
            venue.send(framed(symbol.snapshot()))
        elif kind == "unknown symbol":
            venue.send(framed(symbol.snapshot().replace(b"S", b"X")))
            self.expected["unknown_symbol"] += 1
        elif kind == "garbage":
            venue.send(framed(self.chance.choice((b"nonsense", b"[1,2", b"", b"{}"))))
            self.expected["malformed"] += 1
        elif kind == "fragmented":
            message = self.move(n)
            cut = self.chance.randrange(1, len(message))
            venue.send(frame(message[:cut], final=False) + frame(message[cut:], opcode=0))
        else:
            venue.send(frame(b"are you there", PING))

    def break_book(self, kind: str, n: int) -> None:
        venue, symbol = self.venue, self.symbols[n]
        self.harm(n)
        if kind == "crossed":
            best_ask = min(symbol.asks)
            symbol.u += 1
            venue.send(framed(symbol.message("delta", [(best_ask, 1)], [])))
            self.expected["crossed"] += 1
            return
        message = self.move(n)
        if kind == "reordered":
            later = self.move(n)
            venue.send(framed(later) + framed(message))
            self.expected["gaps"] += 1
            return
        if kind == "truncated":
            venue.send(framed(message[: self.chance.randrange(1, len(message))]))
            self.expected["malformed"] += 1
        elif kind == "bad number":
            venue.send(framed(message.replace(b'"b":[', b'"b":[["12x4","1"],').replace(b"],]", b"]]")))
            self.expected["malformed"] += 1
        elif kind == "too large":
            venue.send(
                framed(message.replace(b'"b":[', b'"b":[["1","%s"],' % (b"9" * 30)).replace(b"],]", b"]]"))
            )
            self.expected["out_of_range"] += 1
        venue.send(framed(self.move(n)))  # shows that one is missing
        self.expected["gaps"] += 1

    def break_connection(self, kind: str) -> None:
        self.settle()
        venue = self.venue
        before = venue.streams
        for n in range(SYMBOLS):
            self.harm(n)
        if kind == "killed":
            self.counters()
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(timeout=10)
            self.process = self._start(self.venue.port)
        elif kind == "oversized":
            venue.send(struct.pack("!BBQ", 0x81, 127, 17 << 20) + b"x" * 64)
            venue.flush()
        elif kind == "cut frame":
            venue.send(framed(self.symbols[0].snapshot())[:-20])
            venue.flush()
            venue.hang_up(reset=False)
        else:
            if kind == "closed":
                venue.send(frame(struct.pack("!H", 1001), 8))
                venue.flush()
            venue.hang_up(reset=kind == "reset")
        if kind != "killed":
            self.expected["reconnects"] += 1
        self.wait(lambda: venue.streams > before and all(self.healthy), f"a connection after: {kind}")

    def counters(self) -> None:
        """What was lost is counted exactly."""
        assert self.check is not None
        check = self.check

        def agree() -> bool:
            return all(check.ring.statistics()[name] == count for name, count in self.expected.items())

        deadline = time.monotonic() + 10
        while not agree():
            self.venue.serve(0.005)
            found = {name: check.ring.statistics()[name] for name in self.expected}
            assert time.monotonic() < deadline, f"found {found}, expected {dict(self.expected)}"


def schedule(chance: random.Random) -> list[str]:
    """When which fault comes: one place a message, most of them empty."""
    faults = [kind for kind in (*HARMLESS, *ONE_BOOK, *CONNECTION) for _ in range(EACH_FAULT)]
    plan = faults + [""] * (MESSAGES - len(faults))
    chance.shuffle(plan)
    return plan


@pytest.fixture
def handler(start: Start, feed: str, tmp_path: Path) -> Callable[[int], subprocess.Popen[str]]:
    """Starts a feed handler that follows the exchange on a port."""
    config = tmp_path / f"{feed}.toml"
    config.write_text(CONFIG)

    def go(port: int) -> subprocess.Popen[str]:
        return start(
            *("run", "--config", config, "--feed", feed, "--venue", "bybit-linear", "--streams", "book"),
            *("--websocket", f"ws://127.0.0.1:{port}", "--rest", f"http://127.0.0.1:{port}"),
        )

    return go


def test_the_check_sees_a_wrong_book(handler: Callable[[int], subprocess.Popen[str]], feed: str) -> None:
    """One size is another on the wire than in the truth."""
    run = Run(handler, feed, seed=1)
    assert run.check is not None
    for _ in range(500):
        run.ordinary()
    run.settle()
    assert run.check.compared > 500
    assert run.check.wrong == []
    symbol = run.symbols[3]
    best = max(symbol.bids)
    symbol.u += 1
    symbol.seq += 1
    symbol.bids[best] += 1
    symbol.record()
    run.venue.send(framed(symbol.message("delta", [(best, symbol.bids[best] + 1)], [])))
    run.settle()
    run.venue.close()
    assert run.check.wrong == [f"{symbol.name} seq {symbol.seq}: another book"]


@pytest.mark.timeout(3600)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_every_live_book_is_the_true_one(
    handler: Callable[[int], subprocess.Popen[str]], feed: str, tmp_path: Path
) -> None:
    seed = int(os.environ.get("QUIETCORE_RANDOM_SEED", "20261121"))
    began = time.monotonic()
    run = Run(handler, feed, seed)
    assert run.check is not None
    check = run.check
    for at, kind in enumerate(schedule(run.chance)):
        if kind:
            run.inject(kind)
        else:
            run.ordinary()
        if at % CHUNK == CHUNK - 1:
            run.settle()
        elif at % 16 == 0:
            run.venue.serve()
    run.wait(lambda: all(run.healthy), "every book asked for again")
    run.settle()
    run.counters()
    run.venue.close()

    clean = sum(len(seqs) for seqs in run.clean)
    seen = sum(len(clean & live) for clean, live in zip(run.clean, check.live_seqs, strict=True))
    recoveries = sorted(check.recoveries_ns)
    p50, p99, longest = (recoveries[int((len(recoveries) - 1) * q)] / 1e6 for q in (0.5, 0.99, 1))
    print(
        f"\n{run.sent} updates of {SYMBOLS} symbols in {time.monotonic() - began:.0f} s, seed {seed}; "
        f"{sum(run.faults.values())} faults: {dict(run.faults)}; {check.compared} LIVE states compared, "
        f"{len(check.wrong)} wrong; LIVE after {seen} of {clean} updates without a fault "
        f"({100 * seen / clean:.3f} %); back LIVE after p50 {p50:.0f} ms, p99 {p99:.0f} ms, max {longest:.0f} ms "
        f"over {len(recoveries)} losses; counted {dict(run.expected)}"
    )
    assert check.wrong == []
    assert min(run.faults.values()) >= EACH_FAULT
    assert seen / clean >= 0.99
    assert longest < 10_000
    said = output(tmp_path)
    for part in (
        "gap in the book of",
        "message refused",
        "crossed book of",
        "connection lost",
        "unknown symbol",
    ):
        assert part in said

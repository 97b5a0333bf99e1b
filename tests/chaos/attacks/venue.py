"""A venue that refuses everything for a while, with each of its codes, and clocks that disagree."""

from __future__ import annotations

import random
import time

from tests.chaos.attack import (
    CATALOGUE,
    GUARD_SECONDS,
    LINE_SECONDS,
    Attack,
    Calm,
    attack,
    nothing_open,
    resting,
)
from tests.chaos.part import Broken
from tests.chaos.pipeline import GUARD_TIMEOUT, Pipeline
from tests.chaos.proxy import Cut

ANY = 1_000_000
REFUSAL_SECONDS = (8.0, 12.0)
RUNTIME_LINES = ("runtime rest", "private stream", "trade stream")

# By the simulator: each with the venue's code, which the one line must name.
CODES = {
    "clock-skew": "10002",
    "wrong-key": "10003",
    "bad-signature": "10004",
    "no-permission": "10005",
    "rate-limit": "10006",
    "wrong-address": "10010",
    "server-error": "10016",
    "expired-key": "33004",
}


def code_attack(fault: str) -> Attack:
    """Return the attack of one code for everything that is signed."""

    def play(p: Pipeline, chance: random.Random) -> None:
        resting(p)
        mark, end = p.runtime.mark(), time.monotonic() + chance.uniform(*REFUSAL_SECONDS)
        p.books.fault(fault, ANY)
        try:
            if chance.random() < 0.5:
                p.proxy.lines["private stream"].cut(Cut.RESET)
            with Calm(p.runtime, p.guard):
                p.said(p.runtime, CODES[fault], mark, LINE_SECONDS)
                time.sleep(max(0.0, end - time.monotonic()))
                if not any(CODES[fault] in line for line in (p.status() or {}).get("warnings", [])):
                    raise Broken(f"the status has no warning with {CODES[fault]}")
        finally:
            p.books.no_faults()

    return Attack(f"venue refuses everything: {fault}", play, recover=30.0, case="X5")


for code in CODES:
    CATALOGUE.add(code_attack(code))


def response(status: str, headers: str = "", body: str = "") -> bytes:
    """Return an HTTP answer that ends its connection."""
    return (
        f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nContent-Type: text/html\r\n"
        f"{headers}Connection: close\r\n\r\n{body}"
    ).encode()


ANSWERS = {
    "403": response("403 Forbidden", body="<html>access too frequent</html>"),
    "429": response("429 Too Many Requests", "Retry-After: 2\r\n"),
    "500": response("500 Internal Server Error"),
    "502": response("502 Bad Gateway", body="<html>bad gateway</html>"),
    "503": response("503 Service Unavailable", "Retry-After: 1\r\n"),
}


def answer_attack(status: str) -> Attack:
    """Return the attack of one HTTP status for everything."""

    def play(p: Pipeline, chance: random.Random) -> None:
        resting(p)
        mark, end = p.runtime.mark(), time.monotonic() + chance.uniform(*REFUSAL_SECONDS)
        lines = [p.proxy.lines[name] for name in RUNTIME_LINES]
        for line in lines:
            line.answer = ANSWERS[status]
            line.cut(Cut.RESET)
        try:
            with Calm(p.runtime):
                p.said(p.runtime, status, mark, LINE_SECONDS)
                time.sleep(max(0.0, end - time.monotonic()))
        finally:
            for line in lines:
                line.heal()

    return Attack(f"venue answers everything with {status}", play, recover=30.0, case="X5")


for http_status in ANSWERS:
    CATALOGUE.add(answer_attack(http_status))


@attack("guard is told to come later", recover=30.0)
def guard_told_later(p: Pipeline, chance: random.Random) -> None:
    """429 with Retry-After: it waits so long between its requests, and does its work then."""
    resting(p)
    line = p.proxy.lines["guard rest"]
    line.answer = ANSWERS["429"]
    line.cut(Cut.RESET)
    p.runtime.kill()
    before, seconds = line.connections, GUARD_TIMEOUT + chance.uniform(6.0, 8.0)
    time.sleep(seconds)
    asked = line.connections - before
    line.heal()
    if asked > seconds / 2 + 3:
        raise Broken(f"the guard asked {asked} times in {seconds:.0f} s against Retry-After: 2")
    nothing_open(p, 9.0, "the venue answers the guard again")


@attack("runtime killed while the venue answers the guard with 502", recover=30.0)
def guard_refused(p: Pipeline, chance: random.Random) -> None:
    """It says so, goes on, and does its work when it can."""
    resting(p)
    line, mark = p.proxy.lines["guard rest"], p.guard.mark()
    line.answer = ANSWERS["502"]
    line.cut(Cut.RESET)
    p.runtime.kill()
    with Calm(p.guard):
        p.said(p.guard, r"502", mark, LINE_SECONDS)
        time.sleep(chance.uniform(1.0, 3.0))
    line.heal()
    nothing_open(p, 8.0, "the venue answers the guard again")


@attack("venue's clock jumps", recover=25.0)
def clock_jumps(p: Pipeline, chance: random.Random) -> None:
    """It is seconds off, either way, and comes back."""
    p.set_venue_clock(chance.choice((-1, 1)) * chance.uniform(0.5, 30.0))
    try:
        time.sleep(chance.uniform(1.0, 4.0))
    finally:
        p.set_venue_clock(0.0)


@attack("host's clock steps", recover=25.0)
def host_clock_steps(p: Pipeline, chance: random.Random) -> None:
    """The time of day of runtime and guard jumps, forwards and back; what they measure by it must not wait for it."""
    for _ in range(chance.randint(1, 3)):
        p.set_host_clock(chance.choice((-1, 1)) * chance.choice((0.2, 2.0, 60.0, 3600.0)))
        time.sleep(chance.uniform(0.3, 1.5))
    p.set_host_clock(0.0)


@attack("host's clock steps with the venue's, and the runtime dies", recover=40.0)
def clocks_step_together(p: Pipeline, chance: random.Random) -> None:
    """Nobody disagrees, but times noted before lie far off: the guard and the next runtime do not wait for them."""
    resting(p)
    off = chance.choice((-1, 1)) * chance.choice((5.0, 600.0))
    p.set_venue_clock(off)
    p.set_host_clock(off)
    time.sleep(chance.uniform(0.0, 1.5))
    p.runtime.kill()
    nothing_open(p, GUARD_SECONDS, "the runtime was killed after the clocks had stepped")
    p.set_venue_clock(0.0)
    p.set_host_clock(0.0)


@attack("venue's clock creeps", recover=25.0)
def clock_creeps(p: Pipeline, chance: random.Random) -> None:
    """It goes away and comes back in small steps, as a clock that is being corrected."""
    off, step = 0.0, chance.choice((-1, 1)) * 0.2
    for turn in range(20):
        off += step if turn < 10 else -step
        p.set_venue_clock(off)
        time.sleep(0.1)
    p.set_venue_clock(0.0)


@attack("venue's clock is off when the runtime dies", recover=40.0)
def clock_off_and_death(p: Pipeline, chance: random.Random) -> None:
    """The venue refuses the guard for its time-stamps, then no longer."""
    resting(p)
    p.set_venue_clock(chance.choice((-1, 1)) * 20.0)
    try:
        p.runtime.kill()
        time.sleep(GUARD_TIMEOUT + 2.0)
    finally:
        p.set_venue_clock(0.0)
    nothing_open(p, 8.0, "the venue's clock is right again")


FAULTS = {
    "answers never": "timeout",
    "requests never arrive": "lost",
    "executions are told twice": "duplicate-fill",
    "executions come before answers": "fill-before-acknowledgement",
    "cancels cross executions": "cancel-and-fill-cross",
    "connections break at orders": "disconnect",
    "post-only orders are refused": "reject-post-only",
    "orders are rejected after their answer": "reject-later",
    "orders are in a status that nobody knows": "odd-status",
}


def fault_attack(name: str, fault: str) -> Attack:
    """Return the attack of one fault of the simulator, some times."""

    def play(p: Pipeline, chance: random.Random) -> None:
        resting(p)
        p.books.fault(fault, chance.randint(1, 6))
        time.sleep(chance.uniform(1.0, 3.0))
        p.books.no_faults()

    return Attack(f"venue: {name}", play, recover=25.0)


for title, wanted in FAULTS.items():
    CATALOGUE.add(fault_attack(title, wanted))

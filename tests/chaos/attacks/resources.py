"""Descriptors and memory that are used up, taken from the running process by prlimit(2)."""

from __future__ import annotations

import contextlib
import random
import resource
import signal
import socket
import time
from collections.abc import Iterator

from tests.chaos.attack import LINE_SECONDS, TERM_SECONDS, Calm, attack, nothing_open, resting
from tests.chaos.part import Part
from tests.chaos.pipeline import Pipeline
from tests.chaos.proxy import Cut

MIB = 1 << 20


@contextlib.contextmanager
def limited(part: Part, which: int, value: int) -> Iterator[None]:
    """Take a resource from a running process for a while."""
    before = resource.prlimit(part.pid, which)
    resource.prlimit(part.pid, which, (value, before[1]))
    try:
        yield
    finally:
        if part.alive:
            resource.prlimit(part.pid, which, before)


def no_descriptors(part: Part) -> contextlib.AbstractContextManager[None]:
    """Allow no descriptor beyond those it has; those it closes it may not have again either."""
    return limited(part, resource.RLIMIT_NOFILE, max(3, part.descriptors() // 2))


@contextlib.contextmanager
def callers(p: Pipeline, count: int) -> Iterator[None]:
    """Knock at the feed handler's control socket, and stay."""
    found = []
    try:
        for _ in range(count):
            caller = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            caller.settimeout(0.2)
            found.append(caller)
            with contextlib.suppress(OSError):
                caller.connect(str(p.control_path))
        yield
    finally:
        for caller in found:
            caller.close()


@attack("feed handler without descriptors", case="X6")
def feed_descriptors(p: Pipeline, chance: random.Random) -> None:
    """Callers of its control socket cannot be accepted: it pauses, and goes on publishing."""
    with no_descriptors(p.feed), callers(p, chance.randint(1, 8)), Calm(p.feed):
        time.sleep(chance.uniform(1.5, 3.0))


@attack("feed handler without descriptors told to end", recover=20.0, case="X6")
def feed_descriptors_end(p: Pipeline, chance: random.Random) -> None:
    """SIGTERM is obeyed."""
    with no_descriptors(p.feed), callers(p, 4):
        time.sleep(0.5)
        p.feed.terminate(TERM_SECONDS)


@attack("feed handler without descriptors loses its connection", recover=20.0)
def feed_descriptors_cut(p: Pipeline, chance: random.Random) -> None:
    """It cannot connect again, tries with pauses, and does when it can."""
    with no_descriptors(p.feed), Calm(p.feed):
        p.proxy.lines["feed websocket"].cut(Cut.RESET)
        time.sleep(chance.uniform(1.5, 4.0))


@attack("runtime without descriptors", recover=25.0)
def runtime_descriptors(p: Pipeline, chance: random.Random) -> None:
    """Its connections break and cannot be made again, its status cannot be written: all is said, and passes."""
    mark = p.runtime.mark()
    with no_descriptors(p.runtime), Calm(p.runtime):
        for name in ("runtime rest", "private stream", "trade stream"):
            p.proxy.lines[name].cut(Cut.RESET)
        time.sleep(chance.uniform(2.0, 4.0))
    p.said(p.runtime, r"(?i)too many open files|lost|down", mark, LINE_SECONDS)


@attack("kill switch thrown at a runtime without descriptors", recover=25.0)
def kill_without_descriptors(p: Pipeline, chance: random.Random) -> None:
    """The switch works: what it needs is held beforehand."""
    resting(p)
    with no_descriptors(p.runtime):
        if chance.random() < 0.5:
            p.runtime.signal(signal.SIGUSR1)
        else:
            p.kill_file.write_text("thrown by the chaos test\n")
        nothing_open(p, 8.0, "the kill switch was thrown at a runtime without descriptors")
    p.switch_on()


@attack("runtime without descriptors told to end", recover=30.0)
def runtime_descriptors_end(p: Pipeline, chance: random.Random) -> None:
    """SIGTERM is obeyed."""
    with no_descriptors(p.runtime):
        p.runtime.terminate(TERM_SECONDS)
    nothing_open(p, 8.0, "the runtime ended without descriptors")


@attack("guard without descriptors, then the runtime killed", recover=25.0)
def guard_descriptors(p: Pipeline, chance: random.Random) -> None:
    """The guard works: what it needs is held beforehand."""
    resting(p)
    with no_descriptors(p.guard), Calm(p.guard):
        p.runtime.kill()
        nothing_open(p, 8.0, "the runtime was killed and the guard has no descriptors")
        time.sleep(1.0)


def short_of_memory(part: Part, chance: random.Random) -> contextlib.AbstractContextManager[None]:
    """Allow hardly more address space than it has."""
    return limited(part, resource.RLIMIT_AS, part.address_space() + chance.choice((0, MIB // 4, 2 * MIB)))


@attack("runtime without memory", recover=30.0, may_end={"runtime"})
def runtime_memory(p: Pipeline, chance: random.Random) -> None:
    """It gets no more while connections break and parameters change; it says so, or ends with a line."""
    with short_of_memory(p.runtime, chance):
        p.runtime.signal(signal.SIGHUP)
        p.proxy.lines["private stream"].cut(Cut.RESET)
        time.sleep(chance.uniform(1.0, 3.0))


@attack("guard without memory, then the runtime killed", recover=30.0, may_end={"guard"})
def guard_memory(p: Pipeline, chance: random.Random) -> None:
    """The guard works, or ends with a line and does its work when it was started again."""
    resting(p)
    with short_of_memory(p.guard, chance):
        p.runtime.kill()
        p.until(lambda: p.moment().open == 0 or not p.guard.alive, 8.0, "the guard works or ends")
    if not p.guard.alive:
        p.guard.start()
    nothing_open(p, 8.0, "the runtime was killed and the guard had no memory")


@attack("feed handler without memory", recover=30.0, may_end={"feed handler"})
def feed_memory(p: Pipeline, chance: random.Random) -> None:
    """It gets no more while its connection breaks."""
    with short_of_memory(p.feed, chance):
        p.proxy.lines["feed websocket"].cut(Cut.RESET)
        time.sleep(chance.uniform(1.0, 3.0))

"""What people and service managers do: signals by the hundred, a second runtime, a switch thrown at a bad moment."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

from tests.chaos.attack import (
    GUARD_SECONDS,
    OPEN_AFTER_KILL,
    TERM_SECONDS,
    Calm,
    attack,
    nothing_open,
    resting,
    silent,
)
from tests.chaos.part import Broken
from tests.chaos.pipeline import Pipeline
from tests.chaos.starvation import Starvation

REFUSED_SECONDS = 25.0


def second_runtime(p: Pipeline, chance: random.Random, status: Path, name: str) -> None:
    """Start another runtime on the account: it is refused with a line, and the first one trades on."""
    before = p.runtime.mark()
    pid = p.runtime.pid
    child = p.runtime_with(name, p.config, status)
    end, starved = time.monotonic() + REFUSED_SECONDS, Starvation(lambda: [child.process.pid])
    try:
        while child.process.poll() is None:
            if time.monotonic() > end and time.monotonic() > end + starved.seconds():
                raise Broken("a second runtime on the same account runs")
            time.sleep(0.05)
        lines = child.last_lines()
        if child.process.returncode <= 0 or not lines:
            raise Broken(f"a second runtime ended with {child.process.returncode}: {lines}")
        if not any("runtime" in line or "account" in line or "already" in line for line in lines):
            raise Broken(f"a second runtime is refused, but not by name: {lines}")
    finally:
        child.stop()
    if p.runtime.pid != pid or not p.runtime.alive:
        raise Broken("the first runtime ended")
    if "of an earlier run" in p.runtime.log(before):
        raise Broken("the first runtime met orders of the second")


@attack("second runtime on the account", case="X7")
def second_on_account(p: Pipeline, chance: random.Random) -> None:
    """With files of its own."""
    other = p.folder / f"second-{chance.getrandbits(32):08x}"
    other.mkdir()
    second_runtime(p, chance, other / "runtime.json", f"second runtime {other.name}")


@attack("second runtime in the status folder", case="X7")
def second_in_folder(p: Pipeline, chance: random.Random) -> None:
    """With the very same files: those of the first are left alone."""
    second_runtime(p, chance, p.status_path, f"second runtime {chance.getrandbits(32):08x}")


@attack("storm of SIGHUP")
def hangup_storm(p: Pipeline, chance: random.Random) -> None:
    """Hundreds, with parameters that change."""
    text = p.config.read_text()
    try:
        for turn in range(chance.randint(50, 300)):
            if turn % 20 == 0:
                p.config.write_text(text.replace("every = 6", f"every = {chance.randint(5, 8)}"))
            p.runtime.signal(signal.SIGHUP)
            time.sleep(chance.choice((0.0, 0.001, 0.01)))
    finally:
        p.config.write_text(text)
    time.sleep(0.2)
    p.runtime.signal(signal.SIGHUP)


@attack("storm of SIGUSR1")
def kill_storm(p: Pipeline, chance: random.Random) -> None:
    """The switch is thrown a hundred times; one `quietcore clear` allows orders again."""
    resting(p)
    for _ in range(100):
        p.runtime.signal(signal.SIGUSR1)
        time.sleep(0.002)
    nothing_open(p, OPEN_AFTER_KILL, "the kill switch was thrown")
    silent(p, 1.0, "the kill switch is on")
    p.switch_on()


@attack("kill switch outlives the runtime", recover=30.0)
def kill_outlives(p: Pipeline, chance: random.Random) -> None:
    """Thrown, then the runtime dies and is started again: nothing is ordered until it is cleared."""
    resting(p)
    p.runtime.signal(signal.SIGUSR1)
    p.until(p.kill_file.exists, 3.0, "a kill file after SIGUSR1")
    if chance.random() < 0.5:
        p.runtime.kill()
        nothing_open(p, GUARD_SECONDS, "the runtime was killed after the kill switch")
    else:
        p.runtime.terminate(TERM_SECONDS)
    p.runtime.start()
    silent(p, 2.0, "the kill switch was thrown before the runtime started")
    p.switch_on()


@attack("runtime told to end again and again", recover=30.0)
def many_terms(p: Pipeline, chance: random.Random) -> None:
    """SIGTERM and SIGINT by the dozen do not hurry it past its cancels."""
    resting(p)
    p.runtime.ours = signal.SIGTERM
    for _ in range(20):
        p.runtime.signal(chance.choice((signal.SIGTERM, signal.SIGINT)))
        time.sleep(0.01)
    p.runtime.wait_end(TERM_SECONDS, "SIGTERM")
    nothing_open(p, GUARD_SECONDS, "the runtime was told to end")


@attack("runtime told to end while it starts", recover=40.0)
def term_at_start(p: Pipeline, chance: random.Random) -> None:
    """Wherever it is in its start."""
    p.runtime.terminate(TERM_SECONDS)
    p.runtime.start(wait=False)
    time.sleep(chance.uniform(0.0, 4.0))
    p.runtime.terminate(TERM_SECONDS + 4.0)
    nothing_open(p, GUARD_SECONDS, "the runtime was told to end while it started")


@attack("guard started twice")
def two_guards(p: Pipeline, chance: random.Random) -> None:
    """A second one does no harm while it is there."""
    other = p._guard(f"second guard {chance.getrandbits(32):08x}")
    try:
        with Calm(p.runtime, p.guard):
            time.sleep(chance.uniform(1.5, 3.0))
    finally:
        other.stop()

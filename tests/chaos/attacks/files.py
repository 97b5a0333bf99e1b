"""Files that are deleted, cut short or replaced under the processes that use them."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from tests.chaos.attack import (
    CATALOGUE,
    GUARD_SECONDS,
    LINE_SECONDS,
    STALE_GRACE,
    Attack,
    attack,
    nothing_open,
    resting,
    silent,
)
from tests.chaos.pipeline import Pipeline
from tests.chaos.recovery import fresh_status


def delete(path: Path, chance: random.Random) -> None:
    """Delete it."""
    path.unlink(missing_ok=True)


def truncate(path: Path, chance: random.Random) -> None:
    """Leave nothing, or a part, of the very file that others have open."""
    if path.is_file():
        size = path.stat().st_size
        with path.open("r+b") as file:
            file.truncate(chance.choice((0, size // 2)))


def garbage(path: Path, chance: random.Random) -> None:
    """Put another file in its place, of bytes that mean nothing."""
    other = path.with_name(path.name + ".chaos")
    other.write_bytes(chance.randbytes(chance.choice((0, 1, 64, 4096))))
    other.replace(path)


def folder(path: Path, chance: random.Random) -> None:
    """Put a folder in its place."""
    path.unlink(missing_ok=True)
    path.mkdir()


CHANGES: dict[str, Callable[[Path, random.Random], None]] = {
    "deleted": delete,
    "truncated": truncate,
    "replaced by garbage": garbage,
    "replaced by a folder": folder,
}


def mended(path: Path) -> None:
    """Take away what nobody but an operator could: a folder in the place of a file."""
    if path.is_dir():
        shutil.rmtree(path)


def status_attack(change: str) -> Attack:
    """Return the attack on the status file: it is there again soon."""

    def play(p: Pipeline, chance: random.Random) -> None:
        CHANGES[change](p.status_path, chance)
        time.sleep(chance.uniform(0.0, 2.0))
        mended(p.status_path)
        p.until(lambda: fresh_status(p, 0.0), 5.0, f"a status after it was {change}")

    return Attack(f"status file {change}", play)


def heartbeat_attack(change: str) -> Attack:
    """Return the attack on the heartbeat: it is made again, or nobody trades; and the guard guards afterwards."""

    def play(p: Pipeline, chance: random.Random) -> None:
        resting(p)
        CHANGES[change](p.heartbeat_path, chance)
        time.sleep(chance.uniform(2.0, 4.0))
        mended(p.heartbeat_path)
        p.until(
            lambda: p.report().get("armed") == 1 or not p.runtime.alive,
            10.0,
            f"the guard is armed again after the heartbeat was {change}",
        )
        if p.runtime.alive:
            resting(p, 15.0)
        p.runtime.kill()
        nothing_open(p, GUARD_SECONDS, f"the runtime was killed after its heartbeat had been {change}")

    case = "X2" if change == "deleted" else ""
    return Attack(f"heartbeat {change}, then the runtime killed", play, recover=25.0, case=case)


def ring_attack(change: str) -> Attack:
    """Return the attack on the ring in shared memory; the operator then starts the feed handler again."""

    def play(p: Pipeline, chance: random.Random) -> None:
        CHANGES[change](p.segment, chance)
        time.sleep(chance.uniform(0.5, 2.0))
        mended(p.segment)
        if p.feed.alive:
            p.feed.terminate(6.0)

    may_end = {"feed handler", "runtime"} if change == "truncated" else set[str]()
    return Attack(f"ring {change}", play, recover=30.0, may_end=frozenset(may_end))


for name in CHANGES:
    CATALOGUE.add(status_attack(name))
    CATALOGUE.add(heartbeat_attack(name))
    CATALOGUE.add(ring_attack(name))


@attack("ring replaced by an old one", recover=30.0)
def ring_replaced(p: Pipeline, chance: random.Random) -> None:
    """A copy that nobody writes to any more takes its place: no order on a book that stands still."""
    copy = p.segment.with_name(p.segment.name + ".chaos")
    shutil.copy(p.segment, copy)
    p.feed.kill()
    copy.replace(p.segment)
    p.let_pass(STALE_GRACE)
    silent(p, 1.0, "the ring is a copy that nobody writes")
    p.feed.start()


@attack("control socket deleted")
def control_deleted(p: Pipeline, chance: random.Random) -> None:
    """The feed goes on."""
    p.control_path.unlink(missing_ok=True)
    time.sleep(0.3)


@attack("guard's report deleted")
def report_deleted(p: Pipeline, chance: random.Random) -> None:
    """It is there again at the next change at the latest."""
    p.report_path.unlink(missing_ok=True)
    p.runtime.kill()
    p.until(lambda: p.report().get("fired", 0) > 0, 8.0, "the guard reports that it fired")


@attack("status folder emptied", recover=25.0)
def status_folder_emptied(p: Pipeline, chance: random.Random) -> None:
    """As a cleaner of temporary files does; trading and guarding go on."""
    for path in list(p.disks["status"].path.iterdir()):
        mended(path) if path.is_dir() else path.unlink(missing_ok=True)
    time.sleep(chance.uniform(2.0, 4.0))
    p.until(lambda: p.report().get("armed") == 1, 8.0, "the guard is armed although the folder was emptied")


@attack("kill file is a folder")
def kill_folder(p: Pipeline, chance: random.Random) -> None:
    """A switch that cannot be read is on."""
    resting(p)
    p.kill_file.mkdir()
    p.let_pass(1.0)
    try:
        silent(p, 1.5, "the kill file cannot be read")
        nothing_open(p, 6.0, "the kill file cannot be read")
    finally:
        p.kill_file.rmdir()
    p.switch_on()


@attack("kill file of strange bytes")
def kill_garbage(p: Pipeline, chance: random.Random) -> None:
    """Whatever is in it, it is on."""
    resting(p)
    p.kill_file.write_bytes(chance.choice((b"", b"\0" * 100, b"\xff\xfe\x00", chance.randbytes(10_000))))
    p.let_pass(1.0)
    silent(p, 1.0, "there is a kill file")
    p.switch_on()


@attack("kill file flickers")
def kill_flickers(p: Pipeline, chance: random.Random) -> None:
    """On and off, faster than anybody looks; what counts in the end is the end."""
    end = time.monotonic() + chance.uniform(1.0, 3.0)
    while time.monotonic() < end:
        p.kill_file.write_text("flicker\n")
        time.sleep(chance.uniform(0.0, 0.15))
        p.kill_file.unlink(missing_ok=True)
        time.sleep(chance.uniform(0.0, 0.15))
    if chance.random() < 0.5:
        p.kill_file.write_text("it stays\n")
        p.let_pass(1.0)
        silent(p, 1.0, "the kill file stays")
    p.switch_on()


@attack("core plan and configuration deleted", may_end=())
def configuration_deleted(p: Pipeline, chance: random.Random) -> None:
    """Nothing that runs needs them; SIGHUP says what is missing."""
    import signal

    text = p.config.read_text()
    mark = p.runtime.mark()
    p.config.unlink()
    try:
        p.runtime.signal(signal.SIGHUP)
        p.said(p.runtime, r"configuration is missing", mark, LINE_SECONDS)
        p.config.write_text(chance.choice(("", "mode = ", text[: len(text) // 2], "\0" * 99)))
        p.runtime.signal(signal.SIGHUP)
        p.said(p.runtime, r"parameters stay as they were(?!.*is missing)", mark, LINE_SECONDS)
    finally:
        p.config.write_text(text)

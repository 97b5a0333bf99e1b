"""Disks that are full or read-only: each folder that a process writes to, while it runs and when it starts."""

from __future__ import annotations

import random
import signal
import time

from tests.chaos.attack import (
    CATALOGUE,
    KILL_GRACE,
    LINE_SECONDS,
    TERM_SECONDS,
    Attack,
    attack,
    nothing_open,
    resting,
    silent,
)
from tests.chaos.part import Broken
from tests.chaos.pipeline import DISKS, Pipeline
from tests.chaos.private_machine import Disk
from tests.chaos.recovery import fresh_status

STATUS_AGAIN_SECONDS = 5.0


def spoil(disk: Disk, how: str) -> None:
    """Fill it, or make it read-only."""
    if how == "full":
        disk.fill()
    else:
        disk.set_read_only(True)


def disk_attack(name: str, how: str) -> Attack:
    """Return the attack of spoiling one disk under running processes, and mending it again."""

    def play(p: Pipeline, chance: random.Random) -> None:
        disk = p.disks[name]
        spoil(disk, how)
        try:
            time.sleep(chance.uniform(1.2, 3.0))
        finally:
            disk.free()

    return Attack(f"{name} disk {how}", play, case="X3" if (name, how) == ("status", "full") else "")


for disk_name in (*DISKS, "shared memory"):
    for state in ("full", "read-only"):
        CATALOGUE.add(disk_attack(disk_name, state))


@attack("status disk full when the runtime starts", recover=40.0, may_end={"runtime"}, case="X3")
def full_at_start(p: Pipeline, chance: random.Random) -> None:
    """It starts or refuses, with a line; it does not die of a page that no disk holds."""
    p.runtime.terminate(TERM_SECONDS)
    disk = p.disks["status"]
    for path in list(disk.path.iterdir()):
        path.unlink()
    disk.fill()
    mark = p.runtime.mark()
    try:
        p.runtime.start(wait=False)
        p.said(p.runtime, r"(?i)no space left|cannot be written|full", mark, 30.0)
        time.sleep(2.0)
    finally:
        disk.free()
    if p.runtime.alive:
        p.until(lambda: fresh_status(p, 0.0), STATUS_AGAIN_SECONDS, "a status after the disk has room again")


@attack("report disk full when the guard starts", recover=20.0)
def guard_full_at_start(p: Pipeline, chance: random.Random) -> None:
    """A guard that cannot report guards; it reports when it can."""
    disk = p.disks["report"]
    p.guard.terminate(TERM_SECONDS)
    for path in list(disk.path.iterdir()):
        path.unlink()
    disk.fill()
    try:
        p.guard.start()
        resting(p)
        time.sleep(0.5)
        p.runtime.signal(signal.SIGSTOP)
        nothing_open(p, 8.0, "the runtime is frozen, the guard's report disk is full")
    finally:
        p.runtime.signal(signal.SIGCONT)
        disk.free()


@attack("shared memory full when the feed handler starts", recover=30.0, may_end={"feed handler"})
def ring_without_room(p: Pipeline, chance: random.Random) -> None:
    """It refuses with a line, or waits; it does not die of a page that no memory holds."""
    p.feed.terminate(TERM_SECONDS)
    p.segment.unlink(missing_ok=True)
    disk = p.disks["shared memory"]
    disk.fill()
    mark = p.feed.mark()
    try:
        p.feed.start(wait=False)
        p.said(p.feed, r"(?i)space|room|memory", mark, LINE_SECONDS)
        time.sleep(0.5)
    finally:
        disk.free()


def thrown(p: Pipeline, how: str, by: str) -> None:
    """Throw the kill switch on a disk that cannot keep it: trading is off at once, and stays off."""
    disk, mark = p.disks["kill"], p.runtime.mark()
    resting(p)
    spoil(disk, how)
    try:
        if by == "signal":
            p.runtime.signal(signal.SIGUSR1)
        else:
            done = p.switch_off()
            if "Traceback" in done.stderr or done.returncode < 0:
                raise Broken(f"quietcore kill on a {how} disk: {done.stderr.strip()[-300:]}")
            if done.returncode and not done.stderr.strip():
                raise Broken(f"quietcore kill on a {how} disk: exit code {done.returncode} without a word")
        p.let_pass(KILL_GRACE)
        silent(p, 3.0, f"the kill switch was thrown by {by} on a {how} disk")
        nothing_open(p, 5.0, f"the kill switch was thrown by {by} on a {how} disk")
        p.said(p.runtime, r"(?i)kill switch", mark, 1.0)
    finally:
        disk.free()
    silent(p, 0.7, "the kill switch was thrown, and its disk has room again")
    p.switch_on()


def kill_attack(how: str, by: str) -> Attack:
    """Return the attack of throwing the switch in one way on one kind of disk."""

    def play(p: Pipeline, chance: random.Random) -> None:
        thrown(p, how, by)

    return Attack(f"kill switch by {by} on a {how} disk", play, case="X4")


for state in ("full", "read-only"):
    for means in ("signal", "command"):
        CATALOGUE.add(kill_attack(state, means))


@attack("every disk full", recover=20.0)
def every_disk_full(p: Pipeline, chance: random.Random) -> None:
    """All at once; a runtime that then freezes is still looked after."""
    resting(p)
    for disk in p.disks.values():
        disk.fill()
    try:
        time.sleep(chance.uniform(0.5, 1.5))
        p.runtime.signal(signal.SIGSTOP)
        nothing_open(p, 8.0, "the runtime is frozen, every disk is full")
    finally:
        p.runtime.signal(signal.SIGCONT)
        for disk in p.disks.values():
            disk.free()


@attack("runtime told to end with its disks full", recover=40.0)
def end_with_full_disks(p: Pipeline, chance: random.Random) -> None:
    """SIGTERM is obeyed, nothing is left open."""
    resting(p)
    for name in ("status", "kill"):
        p.disks[name].fill()
    try:
        time.sleep(0.5)
        p.runtime.terminate(TERM_SECONDS)
        nothing_open(p, 8.0, "the runtime ended with its disks full")
    finally:
        for name in ("status", "kill"):
            p.disks[name].free()

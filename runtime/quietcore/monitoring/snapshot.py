"""One look at a host: feeds, runtime, guard, kill switch, audit, cores, as one object ready for JSON."""

from __future__ import annotations

import argparse
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from quietcore.errors import QuietcoreError
from quietcore.execution import guard_report, heartbeat, kill_switch
from quietcore.monitoring import audit_state
from quietcore.monitoring.cores import PLAN, CoreWatch
from quietcore.monitoring.feeds import FeedWatch
from quietcore.monitoring.interruptions import InterruptionWatch
from quietcore.observe import status as status_file

FRESH_STATUS_SECONDS: Final = 3.0  # the runtime rewrites its status each second
MOST_BOOKS: Final = 64


@dataclass(frozen=True)
class Sources:
    """Where everything is read. Without a name, every feed of the host is."""

    feeds: tuple[str, ...] = ()
    status: Path = status_file.DEFAULT_FOLDER / status_file.FILE_NAME
    guard: Path = guard_report.DEFAULT_FILE
    kill_file: Path = kill_switch.DEFAULT_FILE
    audits: tuple[Path, ...] = (audit_state.GATE_FOLDER, audit_state.TIMER_FOLDER)
    plan: Path = PLAN
    most_books: int = MOST_BOOKS


def add_source_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options that say where a look is taken."""
    usual = Sources()
    group = parser.add_argument_group("what is looked at")
    group.add_argument(
        "--feed", action="append", metavar="NAME", help="only this feed; repeatable (default: all)"
    )
    group.add_argument(
        "--books",
        type=int,
        default=usual.most_books,
        metavar="N",
        help=f"symbols of a feed shown one by one, the rest in sums only (default {usual.most_books})",
    )
    for name, path, what in (
        ("--status", usual.status, "the runtime's status"),
        ("--guard", usual.guard, "the guard's state"),
        ("--kill-file", usual.kill_file, "the kill switch"),
        ("--plan", usual.plan, "the core plan"),
    ):
        group.add_argument(name, type=Path, default=path, metavar="FILE", help=f"{what} (default {path})")
    folders = " and ".join(map(str, usual.audits))
    group.add_argument(
        "--audit",
        type=Path,
        action="append",
        metavar="FOLDER",
        help=f"what `quietcore gate` left; repeatable, the newest counts (default {folders})",
    )


def chosen_sources(arguments: argparse.Namespace) -> Sources:
    """Return what the options of `add_source_arguments` name; raise QuietcoreError for a bad one."""
    if arguments.books < 0:
        raise QuietcoreError("bad option", where="--books", found=arguments.books, expected="0 or more")
    usual = Sources()
    return Sources(
        feeds=tuple(arguments.feed or ()),
        status=arguments.status,
        guard=arguments.guard,
        kill_file=arguments.kill_file,
        audits=tuple(arguments.audit or usual.audits),
        plan=arguments.plan,
        most_books=arguments.books,
    )


class Observer:
    """Looks again and again; what has not changed since the last look is not read again. Safe from any thread."""

    def __init__(
        self, sources: Sources, *, with_cores: bool = False, with_interruptions: bool = False
    ) -> None:
        self.sources = sources
        self._feeds = FeedWatch(sources.feeds, sources.most_books)
        self._cores = CoreWatch(sources.plan) if with_cores else None
        self._interruptions = InterruptionWatch(sources.plan) if with_interruptions else None
        self._status: tuple[tuple[int, int], dict[str, Any]] | None = None
        self._lock = threading.Lock()

    def look(self) -> dict[str, Any]:
        """Return what there is now. Absent parts are None; a part that cannot be read says so."""
        sources = self.sources
        with self._lock:
            runtime, problem = self._runtime()
            look: dict[str, Any] = {
                "time": time.time(),
                "feeds": self._feeds.look(),
                "runtime": runtime,
                "runtime_problem": problem,
                "heartbeat": self._heartbeat(),
                "kill_switch": kill_switch.KillSwitch(sources.kill_file).reason(),
                "guard": guard_report.read(sources.guard),
                "audit": audit_state.read(sources.audits),
            }
            if self._cores is not None:
                look["cores"] = self._cores.look()
            if self._interruptions is not None:
                look["interruptions"] = self._interruptions.look(runtime, look["feeds"])
        return look

    def _runtime(self) -> tuple[dict[str, Any] | None, str]:
        path = self.sources.status
        try:
            found = path.stat()
            key = (found.st_ino, found.st_mtime_ns)
            if self._status is None or self._status[0] != key:
                self._status = (key, status_file.read(path))
        except OSError:
            self._status = None
            return None, f"no status of a runtime: {path}"
        except QuietcoreError as error:
            self._status = None
            return None, error.message()
        status = self._status[1]
        age = max(0.0, time.time() - status["written"])
        state = "ended" if status["final"] else "alive" if age < FRESH_STATUS_SECONDS else "silent"
        return {**status, "age_seconds": round(age, 3), "state": state}, ""

    def _heartbeat(self) -> dict[str, Any] | None:
        beat = heartbeat.read(self.sources.status.parent / "heartbeat")
        if beat is None:
            return None
        return {"age_seconds": round(beat.age_seconds(time.monotonic_ns()), 3), "ended": beat.ended}

    def close(self) -> None:
        """Let go of the feeds' segments."""
        self._feeds.close()

"""Measuring named suites in rounds: one configuration, or two in turns."""

from __future__ import annotations

import contextlib
import os
import platform
import secrets
import shlex
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Protocol, Self

from quietcore import __version__
from quietcore.compare.series import HIGHER, Metric, Run
from quietcore.errors import ExitCode, QuietcoreError
from quietcore.host.cpulist import format_cpu_list
from quietcore.host.texts.cpuinfo import model_of, read_cpuinfo
from quietcore.host.unreadable import NotUnderstoodError
from quietcore.jitter.cores import virtualisation

MOST_VALUES: Final = 50_000  # of a metric in a round: later ones are left out, their rate is not
SWITCH_SECONDS = 300.0  # a command that changes the configuration has so long


@dataclass
class Taken:
    """What one round gave of one metric."""

    latencies: Any = field(default_factory=list)  # ns, in order
    rates: Any = field(default_factory=list)  # a second, in short pieces of equal length
    better_rate: str = HIGHER
    resolution: float = 1.0


class Suite(Protocol):
    """Measures the same thing each time that it is asked to. A context manager: what it starts ends with it."""

    def __enter__(self) -> Self:
        """Start what it needs; raise QuietcoreError where that cannot be had here."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take everything away again."""

    def measure(self, seconds: float) -> dict[str, Taken]:
        """Return what a round of so many seconds gave, by metric."""


class Named(NamedTuple):
    """Where a suite is, and what it measures."""

    module: str
    summary: str


SUITES: Final = {
    "jitter": Named(
        "quietcore.compare.suite_jitter", "interruptions of the cores: how long, how many a second"
    ),
    "ring": Named("quietcore.compare.suite_ring", "reading a full ring of ticks into ladders: ns a tick"),
    "book": Named("quietcore.compare.suite_book", "messages a second through parser, book and ring"),
    "tick-to-order": Named(
        "quietcore.compare.suite_order",
        "the pipeline against the simulator: latency of each hop up to the order",
    ),
}


def make_suite(name: str, cpus: Sequence[int]) -> Suite:
    """Return one of SUITES for these cores."""
    suite: Suite = import_module(SUITES[name].module).make(cpus)
    return suite


def host_facts(cpus: Iterable[int]) -> dict[str, Any]:
    """Return what a reader must know of the host."""
    model = platform.processor() or platform.machine()
    with contextlib.suppress(OSError, NotUnderstoodError):
        model = model_of(read_cpuinfo(Path("/proc/cpuinfo").read_text(errors="replace"))) or model
    try:
        command_line = Path("/proc/cmdline").read_text().strip()
    except OSError:
        command_line = ""
    return {
        "host": platform.node(),
        "cpu": model,
        "cpus": os.cpu_count(),
        "measured_cpus": format_cpu_list(cpus),
        "kernel": platform.release(),
        "command_line": command_line,
        "virtual": virtualisation(),
        "quietcore": __version__,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def add_round(run: Run, suite: str, taken: dict[str, Taken]) -> None:
    """Append what a round gave."""
    for name, one in taken.items():
        metric = run.metrics.setdefault(
            f"{suite}: {name}", Metric(better_rate=one.better_rate, resolution=one.resolution)
        )
        metric.rounds.append([float(value) for value in one.latencies[:MOST_VALUES]])
        metric.rates.append([float(value) for value in one.rates])


def switch_to(command: str) -> None:
    """Run the command that makes a configuration; raise QuietcoreError where it fails."""
    try:
        done = subprocess.run(
            shlex.split(command), capture_output=True, text=True, timeout=SWITCH_SECONDS, check=False
        )
        status, said = str(done.returncode), (done.stderr or done.stdout).strip()
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        status, said = "none", str(error)
    if status != "0":
        raise QuietcoreError(
            "configuration cannot be changed",
            where=command,
            found=f"status {status}: {said.splitlines()[-1] if said else 'nothing said'}",
            remedy="try the command by itself",
            code=ExitCode.UNKNOWN,
        )


def collect(
    names: Iterable[str],
    cpus: Sequence[int],
    runs: Sequence[Run],
    switches: Sequence[str] = (),
    *,
    rounds: int,
    seconds: float,
    tell: Callable[[str], None] = lambda text: None,
) -> None:
    """Measure each suite ``rounds`` times for each of ``runs`` (one, or two in turns: A B, B A, A B …).

    ``switches`` are the commands that make the configurations, none where there is one run. What a suite cannot
    have here is noted in each run. Raises QuietcoreError where a switch fails: a run of nobody knows what is worth
    nothing.
    """
    if len(runs) > 1:
        token = secrets.token_hex(8)
        for run in runs:
            run.paired = token
    for run in runs:
        run.host = host_facts(cpus)
    for name in names:
        with ExitStack() as stack:
            try:
                suite = stack.enter_context(make_suite(name, cpus))
                for number in range(rounds):
                    tell(f"{name}: round {number + 1} of {rounds}")
                    order = list(enumerate(runs))
                    for index, run in order if number % 2 == 0 else reversed(order):
                        if switches:
                            switch_to(switches[index])
                        add_round(run, name, suite.measure(seconds))
            except AbsentError as error:
                for run in runs:
                    run.absent[name] = str(error)
                    run.metrics = {
                        key: metric for key, metric in run.metrics.items() if not key.startswith(f"{name}: ")
                    }


class AbsentError(Exception):
    """What a suite needs is not here; the text says what, and the remedy."""

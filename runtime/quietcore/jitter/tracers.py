"""What other instruments of the host say: the kernel's osnoise, timerlat and hwlat tracers, and cyclictest.

Each is asked for where it is there, and where it is not, the report says why. The tracers run in an instance of
their own below tracefs, so that nobody else's trace is touched; their settings are put back afterwards.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from quietcore.host.cpulist import format_cpu_list
from quietcore.host.unreadable import NotUnderstoodError

TRACEFS = (Path("/sys/kernel/tracing"), Path("/sys/kernel/debug/tracing"))
TRACERS = ("osnoise", "timerlat", "hwlat")
INSTANCE = "quietcore_jitter"
NEEDS = {
    "osnoise": "CONFIG_OSNOISE_TRACER",
    "timerlat": "CONFIG_TIMERLAT_TRACER",
    "hwlat": "CONFIG_HWLAT_TRACER",
}

# Documentation/trace/osnoise-tracer.rst, timerlat-tracer.rst, hwlat_detector.rst
OSNOISE = re.compile(
    r"\[(\d+)\] \S+ +[\d.]+: (\d+) +(\d+) +([\d.]+) +(\d+) +(\d+) +(\d+) +(\d+) +(\d+) +(\d+)\s*$"
)
TIMERLAT = re.compile(r"\[(\d+)\] \S+ +[\d.]+: #\d+ +context +(\w+) timer_latency +(\d+) ns")
_KEPT = re.compile(r"# entries-in-buffer/entries-written: ([0-9]+)/([0-9]+)")
_LOST = re.compile(r"CPU:[0-9]+ \[LOST [0-9]* ?EVENTS\]")
HWLAT = re.compile(r"\[(\d+)\] \S+ +[\d.]+: #\d+ +inner/outer\(us\): +(\d+)/(\d+)")


class AbsentError(Exception):
    """An instrument is not there, or what it says is not whole; the text says why and what would help."""


def events(lines: Iterable[str], form: re.Pattern[str], where: str = "trace") -> Iterator[re.Match[str]]:
    """Yield the events of a trace file, each as a match of its form.

    The file, from kernel/trace/trace.c: comments that start with `#`, among them
    `# entries-in-buffer/entries-written: N/M`; empty lines; `CPU:N [LOST M EVENTS]`; and a line for each event.
    Raises NotUnderstoodError where a line is none of these, and where events were lost: sums would be too small.
    """
    for line in lines:
        if not line.strip():
            continue
        kept = _KEPT.match(line)
        if (kept is not None and kept[1] != kept[2]) or _LOST.match(line):
            raise NotUnderstoodError(
                "the trace lost events",
                where=where,
                found=line,
                expected="all of them; measure for a shorter time",
            )
        if line.startswith("#"):
            continue
        match = form.search(line)
        if match is None:
            raise NotUnderstoodError(
                "not an event", where=where, found=line, expected="a line of this tracer"
            )
        yield match


def parse_osnoise(lines: Iterable[str]) -> dict[int, dict[str, Any]]:
    """Return by CPU: runtime and noise in ns, the longest single noise, and what interfered how often."""
    found: dict[int, dict[str, Any]] = {}
    for match in events(lines, OSNOISE, "osnoise"):
        cpu, runtime, noise = (int(match[i]) for i in (1, 2, 3))
        cell = found.setdefault(
            cpu,
            {"runtime_ns": 0, "noise_ns": 0, "longest_ns": 0}
            | dict.fromkeys(("hardware", "nmi", "interrupt", "softirq", "thread"), 0),
        )
        cell["runtime_ns"] += runtime * 1000
        cell["noise_ns"] += noise * 1000
        cell["longest_ns"] = max(cell["longest_ns"], int(match[5]) * 1000)
        for index, name in enumerate(("hardware", "nmi", "interrupt", "softirq", "thread"), start=6):
            cell[name] += int(match[index])
    return found


def parse_timerlat(lines: Iterable[str]) -> dict[int, dict[str, Any]]:
    """Return by CPU and context (irq, thread): how often, mean and maximum of the timer's latency in ns."""
    found: dict[int, dict[str, Any]] = {}
    for match in events(lines, TIMERLAT, "timerlat"):
        value = int(match[3])
        cell = found.setdefault(int(match[1]), {}).setdefault(
            match[2], {"count": 0, "mean_ns": 0.0, "max_ns": 0}
        )
        cell["count"] += 1
        cell["mean_ns"] += (value - cell["mean_ns"]) / cell["count"]
        cell["max_ns"] = max(cell["max_ns"], value)
    return found


def parse_hwlat(lines: Iterable[str]) -> dict[int, dict[str, Any]]:
    """Return by CPU: how often the hardware alone stopped it, and for how long at most, ns."""
    found: dict[int, dict[str, Any]] = {}
    for match in events(lines, HWLAT, "hwlat"):
        cell = found.setdefault(int(match[1]), {"count": 0, "max_ns": 0})
        cell["count"] += 1
        cell["max_ns"] = max(cell["max_ns"], 1000 * max(int(match[2]), int(match[3])))
    return found


PARSERS: dict[str, Callable[[Iterable[str]], dict[int, dict[str, Any]]]] = {
    "osnoise": parse_osnoise,
    "timerlat": parse_timerlat,
    "hwlat": parse_hwlat,
}


def tracing_folder(places: Iterable[Path] = TRACEFS) -> Path:
    """Return where tracefs is mounted."""
    for place in places:
        try:
            if (place / "available_tracers").exists():
                return place
        except PermissionError:
            raise AbsentError(f"{place} may not be read; run as root") from None
    raise AbsentError(
        "tracefs is not mounted or may not be seen; as root: mount -t tracefs nodev /sys/kernel/tracing"
    )


@contextlib.contextmanager
def set_for_now(path: Path, value: str) -> Iterator[None]:
    """Write a setting and put it back afterwards; what the kernel does not have is left out."""
    if not path.exists():
        yield
        return
    before = path.read_text().strip()
    path.write_text(value)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            path.write_text(before)


def trace(name: str, cpus: Iterable[int], seconds: float, places: Iterable[Path] = TRACEFS) -> dict[str, Any]:
    """Run one of TRACERS on ``cpus`` for so long; raise AbsentError where it cannot be had."""
    folder = tracing_folder(places)
    try:
        offered = (folder / "available_tracers").read_text().split()
        if name not in offered:
            raise AbsentError(
                f"this kernel has no {name} tracer ({NEEDS[name]}); it has: {' '.join(offered)}"
            )
        instance = folder / "instances" / INSTANCE
        instance.mkdir()
    except FileExistsError:
        raise AbsentError(
            f"{instance} exists: another measurement runs, or left it; remedy: rmdir it"
        ) from None
    except OSError as error:
        raise AbsentError(f"{folder}: {error.strerror}; run as root") from None
    try:
        wanted = format_cpu_list(cpus)
        setting = "tracing_cpumask" if name == "hwlat" else "osnoise/cpus"
        place = folder / setting
        with set_for_now(place, mask_of(cpus) if name == "hwlat" else wanted):
            (instance / "current_tracer").write_text(name)
            try:
                time.sleep(seconds)
            finally:
                (instance / "current_tracer").write_text("nop")
            found = PARSERS[name]((instance / "trace").read_text(errors="replace").splitlines())
    except NotUnderstoodError as error:
        raise AbsentError(f"{name}: {error}") from None
    except OSError as error:
        raise AbsentError(f"{name} refused: {error.filename or folder}: {error.strerror}") from None
    finally:
        with contextlib.suppress(OSError):
            instance.rmdir()
    return {"seconds": seconds, "cpus": {str(cpu): found[cpu] for cpu in sorted(found)}}


def mask_of(cpus: Iterable[int]) -> str:
    """Return the CPUs as the kernel's mask."""
    return f"{sum(1 << cpu for cpu in set(cpus)):x}"


def cyclictest(cpus: Iterable[int], seconds: float) -> dict[str, Any]:
    """Run cyclictest with `--default-system`, so that it tunes nothing; raise AbsentError where it cannot be had."""
    program = shutil.which("cyclictest")
    if program is None:
        raise AbsentError("cyclictest is not installed; remedy: apt-get install rt-tests")
    chosen = sorted(set(cpus))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "cyclictest.json"
        command = [
            program,
            "--default-system",
            "--quiet",
            f"--duration={max(1, round(seconds))}",
            f"--affinity={format_cpu_list(chosen)}",
            f"--threads={len(chosen)}",
            "--interval=1000",
            f"--json={out}",
        ]
        if os.geteuid() == 0:
            command.append("--priority=40")
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, check=False)
        if done.returncode != 0 or not out.exists():
            said = (done.stderr or done.stdout).strip().splitlines()
            raise AbsentError(
                f"cyclictest failed with status {done.returncode}: {said[-1] if said else 'nothing said'}"
            )
        try:
            report = json.loads(out.read_text())
        except ValueError as error:
            raise AbsentError(f"cyclictest's report is no JSON: {error}") from None
        return parse_cyclictest(report)


def parse_cyclictest(report: dict[str, Any]) -> dict[str, Any]:
    """Return by CPU how late its timer came, ns, from cyclictest's JSON (figures in µs)."""
    cpus = {}
    try:
        for thread in report["thread"].values():
            cpus[str(thread["cpu"])] = {
                "count": thread["cycles"],
                "min_ns": 1000 * thread["min"],
                "mean_ns": 1000 * thread["avg"],
                "max_ns": 1000 * thread["max"],
            }
    except (KeyError, TypeError, AttributeError) as error:
        raise AbsentError(f"cyclictest's report is of another form: {error!r}") from None
    return {"cpus": cpus}


def instruments(cpus: Iterable[int], seconds: float, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Run the named ones one after the other; each gives its figures, or ``absent`` with the reason."""
    chosen = sorted(set(cpus))
    found: dict[str, dict[str, Any]] = {}
    for name in names:
        try:
            found[name] = (
                cyclictest(chosen, seconds) if name == "cyclictest" else trace(name, chosen, seconds)
            )
        except AbsentError as error:
            found[name] = {"absent": str(error)}
    return found

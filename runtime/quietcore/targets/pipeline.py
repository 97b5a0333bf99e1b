"""Targets that a running pipeline is held against: its hops, its thread, the cores beside it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quietcore.host.cpulist import format_cpu_list
from quietcore.host.texts.cpu_times import read_cpu_times
from quietcore.host.texts.tasks import TaskStatus
from quietcore.host.unreadable import NotUnderstoodError
from quietcore.targets.outcome import Absent, Found, Measured, exactly

FRESH_SECONDS = 3.0
FAULT_SECONDS = 600.0
LEAST = 100  # latencies, below which a p99 is the maximum and nothing else
PROC = Path("/proc")
PLAN = Path("/etc/quietcore/plan.json")


def fresh_status(path: Path) -> dict[str, Any] | None:
    """Return the status of a runtime that runs now, None where there is none."""
    try:
        status: dict[str, Any] = json.loads(path.read_text())
        return status if not status["final"] and time.time() - status["written"] < FRESH_SECONDS else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def enough(hops: Mapping[str, Any]) -> bool:
    """Tell whether every hop has enough latencies to be judged, or has those of clocks that cannot be compared."""
    return all(found["count"] >= LEAST or found["not_comparable"] for found in hops.values())


def hop(hops: Mapping[str, Any], name: str, figure: str, least: int = LEAST) -> Measured | Absent:
    """Return one figure of a hop, or why there is none."""
    found = hops[name]
    if found["count"] >= least:
        return exactly(float(found[figure]), f"of {found['count']:,}")
    why = f"{name}: {found['count']} latencies"
    if found["not_comparable"]:
        why += f", {found['not_comparable']:,} not comparable (replayed, or clocks that disagree)"
    return Absent(f"{why}; expected {least} or more: a longer --seconds gives more")


def total(parts: Mapping[str, Measured | Absent]) -> Measured | Absent:
    """Return the sum of hops; what one of them lacks, the sum lacks."""
    value = 0.0
    for part in parts.values():
        if isinstance(part, Absent):
            return part
        value += part.value
    return exactly(value, " + ".join(parts))


def of_hops(hops: Mapping[str, Any]) -> Found:
    """Return what the hops say."""
    way = ("received_published", "published_read", "read_signal", "signal_sent")
    return {
        "market_data": hop(hops, "received_published", "p99"),
        "order_submission": hop(hops, "signal_sent", "p99"),
        "quote_to_trade": total({name: hop(hops, name, "p50", 10) for name in way}),
        "engine_cycle": total({name: hop(hops, name, "p99") for name in way[2:]}),
    }


def switches_of(text: str) -> int:
    """Return the context switches that /proc/PID/task/TID/status counts. Raises NotUnderstoodError."""
    status = TaskStatus(text)
    return status.given_up + status.taken


def busy_share(before: str, after: str, cpus: list[int]) -> float:
    """Return how much of the time ``cpus`` were busy between two readings of /proc/stat, in per cent.

    Raises NotUnderstoodError, also where one of them is not on line at both times.
    """
    first, last = read_cpu_times(before), read_cpu_times(after)
    gone = [cpu for cpu in cpus if cpu not in first or cpu not in last]
    if gone:
        raise NotUnderstoodError(
            "a CPU is not listed",
            where="/proc/stat",
            found=f"no cpu{gone[0]}",
            expected="the CPUs that are watched",
        )
    spent = sum(last[cpu].total - first[cpu].total for cpu in cpus)
    worked = sum(last[cpu].working - first[cpu].working for cpu in cpus)
    return 100.0 * worked / max(1, spent)


def of_threads(status: Mapping[str, Any], seconds: float, proc: Path = PROC, plan: Path = PLAN) -> Found:
    """Watch the strategy's thread and the housekeeping CPUs for so long."""
    found: Found = {}
    thread = next((one for one in status["threads"] if one["name"] == "strategy"), None)
    if thread is None:
        gone = Absent("the runtime has no thread named strategy")
        return {"page_faults": gone, "context_switches": gone}
    runs = time.time() - status["started"]
    faults = thread["minor_faults"] + thread["major_faults"]
    if faults or runs >= FAULT_SECONDS:
        found["page_faults"] = exactly(faults, f"in {runs:,.0f} s")
    else:
        found["page_faults"] = Absent(
            f"none so far, but the runtime is up for {runs:,.0f} s; expected {FAULT_SECONDS:g}"
        )
    housekeeping = housekeeping_cpus(plan)
    place = proc / str(status["pid"]) / "task" / str(thread["tid"]) / "status"
    try:
        began, before, stat = time.monotonic(), switches_of(place.read_text()), (proc / "stat").read_text()
        time.sleep(seconds)
        passed, after, later = (
            time.monotonic() - began,
            switches_of(place.read_text()),
            (proc / "stat").read_text(),
        )
    except (OSError, NotUnderstoodError) as error:
        found["context_switches"] = Absent(f"{place}: {error}")
        return found
    if status["pinned"]["strategy"]:
        rate = 60 * (after - before) / passed
        found["context_switches"] = exactly(rate, f"{after - before} in {passed:.0f} s")
    else:
        found["context_switches"] = Absent(
            "the strategy's thread is not pinned (strategy_cpu in runtime.toml)"
        )
    if isinstance(housekeeping, Absent):
        found["cpu"] = housekeeping
    else:
        try:
            share = busy_share(stat, later, housekeeping)
            found["cpu"] = exactly(share, f"CPU {format_cpu_list(housekeeping)}")
        except NotUnderstoodError as error:
            found["cpu"] = Absent(str(error))
    return found


def housekeeping_cpus(plan: Path = PLAN) -> list[int] | Absent:
    """Return the CPUs on which nothing spins, by the plan."""
    try:
        sets = json.loads(plan.read_text())["sets"]
        spinning = {cpu for name in ("feed", "strategy", "gateway") for cpu in sets[name]}
        cpus = sorted({int(cpu) for name in ("housekeeping", "irq") for cpu in sets[name]} - spinning)
    except FileNotFoundError:
        return Absent("no core plan here: no core is known to spin (site.yml makes one)")
    except (OSError, ValueError, KeyError, TypeError) as error:
        return Absent(f"{plan}: {error!r}")
    return cpus or Absent("the plan leaves no core on which nothing spins: this machine is too small")


def without_pipeline() -> Found:
    """Return why nothing of a pipeline could be measured."""
    why = Absent(
        "no runtime runs here; start one, or leave out --no-pipeline to run one against the simulator"
    )
    return dict.fromkeys(
        (
            "market_data",
            "order_submission",
            "quote_to_trade",
            "engine_cycle",
            "page_faults",
            "context_switches",
            "cpu",
            "endpoint_switch",
        ),
        why,
    )

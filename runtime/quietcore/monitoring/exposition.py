"""A look at the host as Prometheus metrics: names, types, labels, units of Prometheus (seconds, ratios, totals).

Series by symbol are there for the symbols that the look lists; sums cover all of them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from quietcore.histogram import BOUNDS_NS
from quietcore.monitoring.feeds import GAUGES
from quietcore.monitoring.snapshot import Observer

ORDER_EVENTS_NOT = ("open", "refused_by_risk", "refusals")  # of the status's orders: no events of one kind
BOOK_STATES = {"EMPTY": 0, "RESYNC": 1, "STALE": 2, "LIVE": 3}
UNREADABLE = -1


class PipelineCollector(Collector):
    """Takes one look for each scrape."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    def collect(self) -> Iterator[Metric]:
        """Yield every family."""
        began = time.perf_counter()
        look = self._observer.look()
        yield from feed_families(look["feeds"])
        yield from book_families(look["feeds"])
        yield from runtime_families(look["runtime"])
        yield from safety_families(look)
        yield from audit_families(look["audit"])
        if "interruptions" in look:
            yield from jitter_families(look["interruptions"])
        took = GaugeMetricFamily(
            "quietcore_exporter_look_seconds", "What this look at the host took, before it was written out"
        )
        took.add_metric([], time.perf_counter() - began)
        yield took


def registry(observer: Observer) -> CollectorRegistry:
    """Return a registry with the pipeline and the exporter's own process (CPU time, memory)."""
    found = CollectorRegistry(auto_describe=False)
    found.register(PipelineCollector(observer))
    ProcessCollector(registry=found)
    return found


def _gauge(name: str, text: str, labels: tuple[str, ...] = ()) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"quietcore_{name}", text, labels=labels)


def _counter(name: str, text: str, labels: tuple[str, ...] = ()) -> CounterMetricFamily:
    return CounterMetricFamily(f"quietcore_{name}", text, labels=labels)


def feed_families(feeds: dict[str, Any]) -> Iterator[Metric]:
    """Yield what headers and statistics pages of the rings say."""
    label = ("feed",)
    up = _gauge(
        "feed_up", "1: the ring can be read and its producer beats; 0: silent, closed or unreadable", label
    )
    info = _gauge("feed_info", "Always 1; the venue as a label", ("feed", "venue"))
    age = _gauge("feed_heartbeat_age_seconds", "Since the producer's last sign of life", label)
    epoch = _gauge("feed_epoch", "Raised by each producer of the ring", label)
    ticks = _counter("ring_published_ticks", "Ticks completed in the ring", label)
    capacity = _gauge("ring_capacity_ticks", "Ticks that the ring holds", label)
    for name, feed in feeds.items():
        if "error" in feed:
            up.add_metric([name], 0)
            continue
        up.add_metric([name], feed["producer"] == "alive")
        info.add_metric([name, feed["venue"]], 1)
        age.add_metric([name], feed["heartbeat_age_ns"] / 1e9)
        epoch.add_metric([name], feed["epoch"])
        ticks.add_metric([name], feed["published"])
        capacity.add_metric([name], feed["capacity"])
    yield from (up, info, age, epoch, ticks, capacity)
    readable = {name: feed for name, feed in feeds.items() if "error" not in feed}
    fields = dict.fromkeys(field for feed in readable.values() for field in feed["statistics"])
    for field in fields:
        text = f"{field.replace('_', ' ')} of the feed handler's statistics page"
        make = _gauge if field in GAUGES else _counter
        family = make(f"feed_{field}", text[0].upper() + text[1:], label)
        for name, feed in readable.items():
            family.add_metric([name], feed["statistics"][field])
        yield family


def book_families(feeds: dict[str, Any]) -> Iterator[Metric]:
    """Yield the books: how many in which state, the oldest, and each of those that are listed."""
    counts = _gauge("books", "Books by state", ("feed", "state"))
    oldest = _gauge(
        "books_oldest_live_age_seconds",
        "Since the last message of the LIVE book that waits longest",
        ("feed",),
    )
    labels = ("feed", "symbol")
    state = _gauge("book_state", "0 empty, 1 resync, 2 stale, 3 live, -1 its writer holds it", labels)
    age = _gauge("book_age_seconds", "Since the last message of a LIVE book", labels)
    messages = _counter("book_messages", "Book messages applied in this epoch of the feed", labels)
    for name, feed in feeds.items():
        if "error" in feed:
            continue
        for key, count in feed["books"].items():
            counts.add_metric([name, key.lower()], count)
        if feed["oldest_live_age_ns"] is not None:
            oldest.add_metric([name], feed["oldest_live_age_ns"] / 1e9)
        for symbol, book in feed["book_list"].items():
            state.add_metric([name, symbol], BOOK_STATES.get(book["state"], UNREADABLE))
            messages.add_metric([name, symbol], book["messages"])
            if book["age_ns"] is not None:
                age.add_metric([name, symbol], book["age_ns"] / 1e9)
    yield from (counts, oldest, state, age, messages)


def runtime_families(status: dict[str, Any] | None) -> Iterator[Metric]:
    """Yield what the runtime's status says; where there is none, only that it is not up."""
    up = _gauge("runtime_up", "1: its status is fresh; 0: silent, ended or not there")
    up.add_metric([], status is not None and status["state"] == "alive")
    ended = _gauge("runtime_ended", "1: it ended in good order")
    ended.add_metric([], status is not None and status["state"] == "ended")
    yield from (up, ended)
    if status is None:
        return
    yield from _simple_gauges(status)
    ticks = _counter("runtime_ticks", "Ticks read, by kind", ("kind",))
    for kind in ("bbo", "trade", "level", "book", "restart"):
        ticks.add_metric([kind], status["ticks"][kind])
    dropped = _counter("runtime_ticks_dropped", "Ticks that the ring overwrote before the strategy read them")
    dropped.add_metric([], status["ticks"]["dropped"])
    signals = _counter("runtime_signals", "Signals computed")
    signals.add_metric([], status["signals"])
    intents = _counter("runtime_intents", "Order intents of the strategy loop", ("what",))
    for what, count in status["intents"].items():
        intents.add_metric([what], count)
    orders = _counter("orders", "Order events", ("event",))
    for event, count in status["orders"].items():
        if event not in ORDER_EVENTS_NOT:
            orders.add_metric([event], count)
    fills = _counter("fills", "Fills")
    fills.add_metric([], status["fills"])
    refused = _counter("risk_refusals", "Orders that the risk check refused", ("reason",))
    for reason, count in status["orders"]["refusals"].items():
        refused.add_metric([reason], count)
    all_refused = _counter("risk_refused", "Orders that the risk check refused, of all reasons")
    all_refused.add_metric([], status["orders"]["refused_by_risk"])
    losses = _counter("private_stream_losses", "Times that the venue's private stream was lost")
    losses.add_metric([], status["stream_losses"])
    yield from (ticks, dropped, signals, intents, orders, fills, refused, all_refused, losses)
    yield from hop_families(status["hops"])
    faults = _gauge(
        "runtime_thread_page_faults",
        "Page faults of a runtime's thread since it was ready",
        ("thread", "kind"),
    )
    for thread in _by_name(status["threads"]).items():
        for kind, count in zip(("minor", "major"), thread[1], strict=True):
            faults.add_metric([thread[0], kind], count)
    yield faults


def _simple_gauges(status: dict[str, Any]) -> Iterator[Metric]:
    values = {
        "runtime_info": ("Always 1; mode, feed and symbol as labels", 1),
        "runtime_status_age_seconds": ("Since the runtime wrote its status", status["age_seconds"]),
        "runtime_start_time_seconds": ("When the runtime began, in Unix time", status["started"]),
        "orders_open": ("Orders open at the venue", status["orders"]["open"]),
        "position": ("Position in units of the base coin", float(status["position"])),
        "runtime_degraded": ("1: it orders less, or only what reduces", bool(status["degraded"])),
        "runtime_killed": ("1: the runtime has taken the kill switch", bool(status["killed"])),
        "runtime_warnings": ("Warnings since the start", status.get("warned", len(status["warnings"]))),
        "runtime_compiled_since_ready": ("Functions compiled on the way, 0 wanted", status["compiled_since_ready"]),
        "runtime_memory_locked_bytes": ("Memory that stays in place", status["memory"]["locked_kib"] * 1024),
    }  # fmt: skip
    labels = {
        "runtime_info": {name: str(status[name]) for name in ("mode", "feed", "symbol")},
        "position": {"symbol": status["symbol"]},
    }
    for name, (text, value) in values.items():
        own = labels.get(name, {})
        family = _gauge(name, text, tuple(own))
        family.add_metric(list(own.values()), value)
        yield family


def _by_name(threads: list[dict[str, Any]]) -> dict[str, tuple[int, int]]:
    """Return page faults by name; threads of one name are added up."""
    found: dict[str, tuple[int, int]] = {}
    for thread in threads:
        minor, major = found.get(thread["name"], (0, 0))
        found[thread["name"]] = (minor + thread["minor_faults"], major + thread["major_faults"])
    return found


def hop_families(hops: dict[str, Any]) -> Iterator[Metric]:
    """Yield the latency of each hop as a histogram, its maximum, and what could not be compared."""
    latency = HistogramMetricFamily(
        "quietcore_hop_latency_seconds",
        "Latency by hop; within 1.6 % of a bound it may be counted above it",
        labels=("hop",),
    )
    longest = _gauge("hop_latency_max_seconds", "The longest latency of a hop since the start", ("hop",))
    foreign = _counter("hop_not_comparable", "Pairs of times that cannot be subtracted: no latency", ("hop",))
    for name, hop in hops.items():
        counted = hop.get("cumulative")
        if counted is None:
            continue  # the last word of an older release
        buckets = [
            (f"{bound / 1e9:g}", count) for bound, count in zip(BOUNDS_NS, counted["counts"], strict=True)
        ]
        latency.add_metric([name], [*buckets, ("+Inf", hop["count"])], counted["sum"] / 1e9)
        if hop["max"] is not None:
            longest.add_metric([name], hop["max"] / 1e9)
        foreign.add_metric([name], hop["not_comparable"])
    yield from (latency, longest, foreign)


def safety_families(look: dict[str, Any]) -> Iterator[Metric]:
    """Yield heartbeat, kill switch and guard."""
    switch = _gauge("kill_switch", "1: on, nothing is ordered until it is cleared")
    switch.add_metric([], look["kill_switch"] is not None)
    yield switch
    beat = look["heartbeat"]
    if beat is not None:
        age = _gauge("runtime_heartbeat_age_seconds", "Since the heartbeat that the guard watches")
        age.add_metric([], beat["age_seconds"])
        yield age
    guard = look["guard"]
    if guard is not None:
        armed = _gauge("guard_armed", "1: the guard watches a runtime that is alive")
        armed.add_metric([], guard["armed"])
        fired = _counter("guard_fired", "Times that the guard cancelled everything")
        fired.add_metric([], guard["fired"])
        failures = _counter("guard_failures", "Sweeps of the guard that the venue did not do")
        failures.add_metric([], guard["failures"])
        yield from (armed, fired, failures)


def audit_families(audit: dict[str, Any] | None) -> Iterator[Metric]:
    """Yield the last audit; nothing where none has been made."""
    if audit is None:
        return
    passed = _gauge(
        "audit_passed", "1: every promise of the host held at the last audit, or waits for a reboot"
    )
    passed.add_metric([], audit["passed"])
    age = _gauge("audit_age_seconds", "Since the last audit")
    age.add_metric([], audit["age_seconds"])
    finding = _gauge("audit_finding", "1 for each promise that did not hold", ("id", "verdict"))
    for found in audit["findings"]:
        finding.add_metric([found["id"], found["verdict"]], 1)
    yield from (passed, age, finding)


def jitter_families(interruptions: dict[str, Any]) -> Iterator[Metric]:
    """Yield what keeps CPUs and the pipeline's threads from their work, by the kernel's counters."""
    core = ("cpu", "role", "isolated")
    interrupted = _counter("core_interruptions", "Interrupts and softirqs of a CPU", (*core, "cause"))
    stolen = _counter("core_steal_seconds", "Time that the hypervisor kept from a CPU", core)
    for one in interruptions["cores"]:
        labels = [str(one["cpu"]), one["role"], "true" if one["isolated"] else "false"]
        interrupted.add_metric([*labels, "interrupt"], one["interrupts"])
        interrupted.add_metric([*labels, "softirq"], one["softirqs"])
        stolen.add_metric(labels, one["steal_ns"] / 1e9)
    pinned = _gauge("thread_pinned", "1: a thread of the pipeline has a CPU of its own", ("thread",))
    switches = _counter(
        "thread_switches",
        "Context switches of a thread of the pipeline: given_up as it waited, taken from it",
        ("thread", "kind"),
    )
    waited = _counter("thread_waited_seconds", "Time in which a thread could run and did not", ("thread",))
    for thread in interruptions["threads"]:
        pinned.add_metric([thread["name"]], thread["pinned"])
        for kind in ("given_up", "taken"):
            switches.add_metric([thread["name"], kind], thread[kind])
        waited.add_metric([thread["name"]], thread["waited_ns"] / 1e9)
    yield from (interrupted, stolen, pinned, switches, waited)

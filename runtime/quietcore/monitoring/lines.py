"""A look at a host as lines of text for a terminal of 80 columns; what is not well stands out, in colour and words."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from rich.text import Text

from quietcore.observe.status import HOP_TITLES

GOOD, BAD, DOUBTFUL, FAINT, HEAD = "green", "bold red", "yellow", "bright_black", "bold"
CORES_WIDTH, WIDTH = 35, 80
LEAST_SHARE = 0.005  # of a CPU, from which a thread is named


def short(nanoseconds: int | float | None) -> str:
    """Return a duration in at most 7 characters."""
    if nanoseconds is None:
        return "–"
    for unit, size in (("ns", 1), ("µs", 1e3), ("ms", 1e6), ("s", 1e9)):
        value = nanoseconds / size
        if value < 1000 or unit == "s":
            digits = 0 if unit == "ns" or value >= 100 else 1 if value >= 10 else 2
            return f"{value:.{digits}f} {unit}"
    raise AssertionError


def number(value: float | None) -> str:
    """Return a count or rate in at most 6 characters."""
    if value is None:
        return "–"
    for unit, size in (("", 1), ("k", 1e3), ("M", 1e6), ("G", 1e9)):
        if abs(value) < 1000 * size or unit == "G":
            shown = value / size
            return f"{shown:.0f}{unit}" if not unit or shown >= 100 else f"{shown:.1f}{unit}"
    raise AssertionError


def _joined(parts: Iterable[Text], separator: str = " · ") -> Text:
    return Text(separator).join(parts)


def state_lines(look: dict[str, Any]) -> Text:
    """Return two lines: what runs and whether it may trade; audit, guard, drops."""
    status, audit, guard = look["runtime"], look["audit"], look["guard"]
    clock = time.strftime("%H:%M:%S", time.gmtime(look["time"]))
    first = [Text(f"{clock} UTC", FAINT)]
    if status is None:
        first.append(Text("no runtime", DOUBTFUL))
    else:
        style = {"alive": GOOD, "silent": BAD}.get(status["state"], DOUBTFUL)
        first.append(Text(f"runtime {status['state']}", style))
        first.append(Text(f"{status['mode']} {status['symbol']}", style=""))
        first.append(Text(f"position {status['position']}"))
        if status.get("venue", {}).get("paused"):
            first.append(Text(f"no orders: {status['venue']['paused']}", BAD))
        if status["degraded"]:
            first.append(Text(f"degraded: {status['degraded']}", DOUBTFUL))
    switch = look["kill_switch"]
    first.append(Text("kill switch off", FAINT) if switch is None else Text(f"KILLED: {switch}", BAD))
    second = []
    if audit is None:
        second.append(Text("no audit yet", DOUBTFUL))
    else:
        ago = f"{short(audit['age_seconds'] * 1e9)} ago"
        text = "passed" if audit["passed"] else audit["summary"].removesuffix(": not started")
        second.append(Text(f"audit {ago}: {text}", GOOD if audit["passed"] else BAD))
    if guard is not None:
        armed = "armed" if guard["armed"] else "not armed"
        second.append(Text(f"guard {armed}", GOOD if guard["armed"] else DOUBTFUL))
        if guard["fired"]:
            second.append(Text(f"fired {guard['fired']}", BAD))
    if audit is not None:
        second += [Text(f"{one['id']} {one['verdict']}", BAD) for one in audit["findings"][:2]]
    lines = _joined(first), _joined(second)
    for line in lines:
        line.truncate(WIDTH, overflow="ellipsis")
    return Text("\n").join(lines)


def core_lines(cores: list[dict[str, Any]]) -> Text:
    """Return one line a CPU: role, how busy, who ran. An isolated one with more than one runner stands out."""
    lines = [Text(f"{'cpu':>3} {'role':<12} {'busy':>4} who ran", HEAD)]
    for core in cores:
        runners = [entry for entry in core["ran"] if entry["share"] >= LEAST_SHARE]
        crowded = core["isolated"] and len(runners) > 1
        busy = "–" if core["busy"] is None else f"{core['busy']:.0%}"
        line = Text(f"{core['cpu']:>3} ")
        line.append(f"{core['role'] or 'no plan':<12.12} ", "cyan" if core["isolated"] else "")
        line.append(f"{busy:>4} ")
        line.append(" ".join(entry["name"] for entry in runners), BAD if crowded else "")
        line.truncate(CORES_WIDTH, overflow="ellipsis")
        lines.append(line)
    return Text("\n").join(lines)


def hop_lines(status: dict[str, Any] | None) -> Text:
    """Return one line a hop: p50, p99, the longest."""
    lines = [Text(f"{'latency':<20}{'p50':>8}{'p99':>8}{'max':>8}", HEAD)]
    for name, title in HOP_TITLES.items():
        hop = status["hops"][name] if status is not None else None
        figures = [short(hop[key]) if hop else "–" for key in ("p50", "p99", "max")]
        if hop and not hop["count"] and hop["not_comparable"]:
            figures = ["", "clocks", "differ"]
        lines.append(Text(f"{title:<20.20}" + "".join(f"{figure:>8}" for figure in figures)))
    return Text("\n").join(lines)


def order_lines(status: dict[str, Any] | None, per_second: dict[str, Any]) -> Text:
    """Return orders, risk and drops in three lines."""
    if status is None:
        return Text()
    orders, ticks = status["orders"], status["ticks"]
    dropped = Text(f"dropped {number(ticks['dropped'])}", BAD if ticks["dropped"] else "")
    read = Text(f"ticks {number(ticks['read'])}, {number(per_second['ticks_read'])}/s, ").append_text(dropped)
    sent = f"orders {number(orders['sent'])}, {number(per_second['orders'])}/s, open {orders['open']}, "
    uncertain = Text(f"uncertain {orders['uncertain']}", DOUBTFUL if orders["uncertain"] else FAINT)
    refused = number(orders["refused_by_risk"])
    decided = f"fills {number(status['fills'])}, signals {number(status['signals'])}, refused {refused}"
    return Text("\n").join([read, Text(sent).append_text(uncertain), Text(decided)])


def feed_lines(feeds: dict[str, Any], per_second: dict[str, Any]) -> Text:
    """Return one line a feed: who produces, rates, books, what went wrong."""
    titles = "".join(f"{title:>7}" for title in ("gaps", "resync", "reconn"))
    head = f"{'feed':<12} {'producer':<9}{'ticks/s':>8}{'msgs/s':>8}{'live':>11}{titles}{'lost':>6}"
    lines = [Text(head, HEAD)]
    for name, feed in feeds.items():
        if "error" in feed:
            line = Text(f"{name:<12.12} ").append(feed["error"], BAD)
        else:
            counts, rate = feed["statistics"], per_second["feeds"].get(name, {})
            live, of = feed["books"]["LIVE"], feed["symbols"]
            lost = (
                counts.get("packets_lost", 0)
                + counts.get("kernel_drops", 0)
                + counts.get("record_dropped", 0)
            )
            line = Text(f"{name:<12.12} ")
            line.append(f"{feed['producer']:<9}", GOOD if feed["producer"] == "alive" else BAD)
            line.append(f"{number(rate.get('ticks')):>8}{number(rate.get('messages')):>8}")
            line.append(f"{f'{live} of {of}':>11}", "" if live == of else DOUBTFUL)
            line.append(
                f"{number(counts['gaps']):>7}{number(counts['resyncs']):>7}{number(counts['reconnects']):>7}"
            )
            line.append(f"{number(lost):>6}", BAD if lost else "")
        line.truncate(WIDTH, overflow="ellipsis")
        lines.append(line)
    if not feeds:
        lines.append(Text("no feed on this host", DOUBTFUL))
    return Text("\n").join(lines)


def book_lines(feeds: dict[str, Any]) -> Text:
    """Return one line a book: state, age, best bid and offer; what is not LIVE comes first."""
    lines = [Text(f"{'book':<15} {'state':<7}{'age':>8}  {'bid':>22}  {'ask':>22}", HEAD)]
    books = [
        (symbol, book)
        for feed in feeds.values()
        if "error" not in feed
        for symbol, book in feed["book_list"].items()
    ]
    for symbol, book in sorted(books, key=lambda item: item[1]["state"] == "LIVE"):
        sides = [
            "–" if book[side] is None else f"{book[side][0]} × {book[side][1]}" for side in ("bid", "ask")
        ]
        style = "" if book["state"] == "LIVE" else DOUBTFUL
        age = short(book["age_ns"])
        lines.append(
            Text(f"{symbol:<15.15} {book['state']:<7}{age:>8}  {sides[0]:>22.22}  {sides[1]:>22.22}", style)
        )
    hidden = sum(feed["symbols"] - len(feed["book_list"]) for feed in feeds.values() if "error" not in feed)
    if hidden:
        lines.append(Text(f"and {hidden} more, counted above; --books shows more of them", FAINT))
    return Text("\n").join(lines)

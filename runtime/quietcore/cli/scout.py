"""Measure a venue's endpoints from this host: DNS, TCP, TLS, and round trips of WebSocket and HTTP.

Each host is measured at each of its addresses. The table is in the order of the score: (median + median deviation
of the round trip) / reliability². Nothing is sent but pings and requests for the venue's time; no key is needed.

--history FILE keeps what was measured; `quietcore scout --show FILE` shows it without measuring.
Exit codes: 0 ok, 2 wrong usage, 3 no endpoint answers.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quietcore.errors import ExitCode, QuietcoreError

if TYPE_CHECKING:
    from quietcore.scout.scouter import DynamicAPIScouter


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--venue", default="bybit-linear", help="(default %(default)s)")
    parser.add_argument("--region", default="global", help="the account's (default %(default)s)")
    parser.add_argument("--testnet", action="store_true", help="the venue's test net")
    parser.add_argument(
        "--url",
        action="append",
        default=[],
        metavar="URL",
        help="wss://HOST or https://HOST instead; repeatable",
    )
    parser.add_argument("--tls-ca", default="", metavar="FILE", help="a further authority, PEM")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long (default %(default)s)")
    parser.add_argument(
        "--interval", type=float, default=1.0, help="from round to round (default %(default)s)"
    )
    parser.add_argument(
        "--policy", choices=("hysteresis", "always"), default="hysteresis", help="(default %(default)s)"
    )
    parser.add_argument("--history", type=Path, metavar="FILE", help="append what is measured")
    parser.add_argument("--show", type=Path, metavar="FILE", help="show a history and measure nothing")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Measure for a while, or show what was measured."""
    for name in ("seconds", "interval"):
        value = getattr(arguments, name)
        if not 0 < value < math.inf:
            raise QuietcoreError("bad option", where=f"--{name}", found=value, expected="more than 0")
    if arguments.show is not None:
        return show(arguments.show, as_json=arguments.json)
    import uvloop

    from quietcore.scout.scouter import DynamicAPIScouter
    from quietcore.venues.registry import targets_of_urls

    scouter = DynamicAPIScouter(
        check_interval=arguments.interval,
        switch_interval=arguments.interval,
        venue=arguments.venue,
        region=arguments.region,
        testnet=arguments.testnet,
        policy=arguments.policy,
        targets=targets_of_urls(arguments.venue, arguments.url) if arguments.url else None,
        tls_ca=arguments.tls_ca,
        history=arguments.history,
    )

    async def main() -> None:
        await scouter.start()
        await asyncio.sleep(arguments.seconds)
        await scouter.stop()

    uvloop.run(main())
    rows = [row for kind in ("websocket", "rest") for row in standings(scouter, kind)]
    websocket, rest = scouter.get_fastest_endpoints()
    result = {
        "websocket": websocket,
        "rest": rest,
        "pins": scouter.pins,
        "rounds": scouter.rounds,
        "withheld": scouter.budget.withheld,
        "candidates": rows,
        "problems": scouter.problems,
    }
    if arguments.json:
        print(json.dumps(result))
        return ExitCode.OK
    table(f"{scouter.rounds} rounds; fastest: {websocket or '–'} and {rest or '–'}", rows)
    for problem in scouter.problems[-3:]:
        print(f"note: {problem}")
    return ExitCode.OK


def standings(scouter: DynamicAPIScouter, kind: str) -> list[dict[str, Any]]:
    """Return the rows of one kind, best first."""
    return [
        {
            "kind": kind,
            "url": score.candidate.target.url,
            "address": score.candidate.address,
            "elected": score.candidate == scouter.elected[kind],
            "score_ns": score.score_ns,
            "median_ns": score.median_ns,
            "deviation_ns": score.deviation_ns,
            "reliability": score.reliability,
            "measurements": score.measurements,
            "dns_ns": score.last.dns_ns,
            "tcp_ns": score.last.tcp_ns,
            "tls_ns": score.last.tls_ns,
            "error": score.last.error,
        }
        for score in scouter.standings(kind)
    ]


def show(path: Path, *, as_json: bool) -> int:
    """Show a history: each candidate's measurements and the elections."""
    from quietcore.scout.history import load
    from quietcore.scout.probe import Candidate, Measurement
    from quietcore.scout.ranking import Record
    from quietcore.venues.interface import Target

    entries = load(path)
    measured = defaultdict(list)
    for entry in entries:
        if entry.get("event") == "measured":
            measured[entry["kind"], entry["url"], entry["address"]].append(entry)
    rows = []
    for (kind, url, address), found in measured.items():
        record = Record(Candidate(Target(kind, "", 0, False, ""), address))
        for entry in found:
            record.add(Measurement(*(entry[name] for name in Measurement._fields)))
        score = record.score()
        rows.append(
            {
                "kind": kind,
                "url": url,
                "address": address,
                "elected": False,
                "score_ns": score.score_ns,
                "median_ns": score.median_ns,
                "deviation_ns": score.deviation_ns,
                "reliability": sum(not entry["error"] for entry in found) / len(found),
                "measurements": len(found),
                "dns_ns": score.last.dns_ns,
                "tcp_ns": score.last.tcp_ns,
                "tls_ns": score.last.tls_ns,
                "error": score.last.error,
            }
        )
    elections = [entry for entry in entries if entry.get("event") == "elected"]
    for kind in ("websocket", "rest"):
        last = next((entry for entry in reversed(elections) if entry["kind"] == kind), None)
        for row in rows:
            row["elected"] |= last is not None and (row["kind"], row["url"], row["address"]) == (
                kind,
                last["url"],
                last["address"],
            )
    rows.sort(key=lambda row: (row["kind"] != "websocket", row["score_ns"] is None, row["score_ns"]))
    if as_json:
        print(json.dumps({"candidates": rows, "elections": elections}))
        return ExitCode.OK
    table(f"{path}: {len(entries)} entries, {len(elections)} elections", rows)
    for entry in elections[-10:]:
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(entry["at"]))
        print(f"{at} UTC  {entry['kind']}: {entry['url']} at {entry['address']}")
    return ExitCode.OK


def table(title: str, rows: list[dict[str, Any]]) -> None:
    """Print rows of candidates."""
    from rich.console import Console
    from rich.table import Table

    def ms(value: float | None) -> str:
        return "–" if not value else f"{value / 1e6:.2f}"

    made = Table(title=title, caption="milliseconds; ● elected")
    for name in ("", "endpoint", "address"):
        made.add_column(name, overflow="fold")
    for name in ("round trip", "±", "ok", "n", "DNS", "TCP", "TLS"):
        made.add_column(name, justify="right")
    for row in rows:
        made.add_row(
            "●" if row["elected"] else "",
            row["url"],
            row["address"],
            ms(row["median_ns"]) if row["score_ns"] else row["error"] or "–",
            ms(row["deviation_ns"]),
            f"{row['reliability']:.0%}",
            str(row["measurements"]),
            ms(row["dns_ns"]),
            ms(row["tcp_ns"]),
            ms(row["tls_ns"]),
        )
    Console().print(made)

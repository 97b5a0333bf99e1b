"""Measure the runtime: indicators, signal and intent in compiled code, what measuring itself costs, and from a tick to
the bytes of an order.

    python runtime/bench/run.py [--only indicators|signals|instrumentation|order_path] [--json] [--out FILE]

Figures in ns depend on the machine, which must have nothing else to do. Exit codes: 0 measured, whatever came of the
goals; 1 with --strict where a goal is missed; 3 where something cannot be measured.
"""

from __future__ import annotations

import argparse
import importlib
import json
import platform
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("indicators", "signals", "instrumentation", "order_path")


def main(words: list[str] | None = None) -> int:
    """Measure and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=PARTS, action="append", help="this part alone; repeatable")
    parser.add_argument("--json", action="store_true", help="one JSON object, no table")
    parser.add_argument("--out", type=Path, default=ROOT / "build/bench/runtime.json")
    parser.add_argument("--strict", action="store_true", help="exit 1 where a goal is missed")
    arguments = parser.parse_args(words)
    # Also the writer of the runtime's tests: the ring's other end.
    sys.path[:0] = [str(ROOT), str(ROOT / "runtime")]
    from quietcore.errors import QuietcoreError

    results = []
    try:
        for part in arguments.only or PARTS:
            results += list(importlib.import_module(f"bench.{part}").measure())
    except QuietcoreError as error:
        print(f"bench: {error}", file=sys.stderr)
        return int(error.code)
    except KeyboardInterrupt:
        print("\nbench: interrupted; nothing written", file=sys.stderr)
        return 130
    report = {
        "machine": platform.processor() or platform.machine(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "results": [result._asdict() for result in results],
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(report, indent=1) + "\n")
    if arguments.json:
        print(json.dumps(report))
    else:
        from rich.console import Console
        from rich.table import Table

        table = Table(title="runtime", caption=f"95 % interval of the median; also in {arguments.out}")
        for name in ("what", "median", "interval", "unit", "goal", "verdict", "note"):
            table.add_column(name, justify="right" if name in ("median", "interval") else "left")
        for result in results:
            table.add_row(
                result.name,
                f"{result.value:.3g}",
                f"{result.low:.3g} … {result.high:.3g}",
                result.unit,
                result.goal,
                result.verdict,
                result.note,
            )
        Console(width=None if sys.stdout.isatty() else 140).print(table)
    missed = any(result.verdict == "missed" for result in results)
    return 1 if arguments.strict and missed else 0


if __name__ == "__main__":
    sys.exit(main())

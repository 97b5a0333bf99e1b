"""One backtest of a recording a block: what the programs that are compared have in common.

The strategy is that of `quietcore.strategy.crossing`: two exponential averages of the mid price over the venue's own
quotes; where they cross, what is open is cancelled and a limit order goes to the other side's best price.
"""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

FAST, SLOW, SIZE = 20, 80, "2.5"
TICK, LOT = 0.1, 0.001


class Outcome(NamedTuple):
    """``seconds``: of the backtest itself, what prepares the data left out."""

    messages: int
    seconds: float
    signals: int
    fills: int


def messages(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield receive time (ns) and content of each line of a Binance USD-M recording; a REST answer has no stream."""
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
        for line in file:
            stamp, _, text = line.partition(b" ")
            content = json.loads(text)
            yield int(stamp), content.get("data", content)


def serve(distribution: str, run: Callable[[Path], Outcome]) -> None:
    """Answer `CASE INPUT SECONDS` lines until the input ends."""
    name = f"{distribution} {version(distribution)}" if distribution != "quietcore" else distribution
    print(json.dumps({"ready": True, "version": name}), flush=True)
    for line in sys.stdin:
        outcome = run(Path(line.split()[1]))
        print(json.dumps({"operations": outcome.messages, **outcome._asdict()}), flush=True)

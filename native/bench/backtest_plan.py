"""Messages of a recording a second through a backtest, beside other projects' engines.

They do not do the same work, and each result says what is done: a ratio tells what a user waits, not who is better.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from feed_plan import BINANCE, DisagreementError, interleave, rate
from pairing import paired
from peers_environment import ensure_peers
from results import Result
from worker import Worker

FOLDER = Path(__file__).parent / "peers"
MOST_PAIRS = 3  # a block is a whole recording
OURS = "JSON read by the venue's rules, every level's queue, matching and order states as in live trading"
PEERS = [
    ("nautilus_trader", "nautilus_backtest.py", "objects in memory, strategy in Python, L2 matching"),
    ("hftbacktest", "hftbacktest_backtest.py", "an array in memory, compiled strategy, one queue an order"),
]


def measure(root: Path, data: Path, *, pairs: int, peers: bool, cpu: int) -> Iterator[Result]:
    """Yield ours alone, or beside each peer."""
    recording = data / BINANCE
    with ExitStack() as stack:
        ours = stack.enter_context(
            Worker("quietcore", [sys.executable, str(FOLDER / "quietcore_backtest.py")], cpu)
        )
        first = ours.block("backtest", recording, 0)
        if not first["fills"]:
            raise DisagreementError(f"quietcore on {recording}: no fills, so nothing was matched")
        facts = {"does": OURS, "signals": first["signals"], "fills": first["fills"]}

        def own() -> float:
            return rate(ours.block("backtest", recording, 0))

        if not peers:
            yield Result("backtest", own(), "messages/s", facts=facts)
            return
        python = str(ensure_peers(root))
        for label, script, does in PEERS:
            worker = stack.enter_context(Worker(label, [python, str(FOLDER / script)], cpu))
            theirs = worker.block("backtest", recording, 0)  # what compiles, compiles here
            if not theirs["fills"]:
                raise DisagreementError(f"{label} on {recording}: no fills, so nothing was matched")
            references, values = interleave(
                lambda worker=worker: rate(worker.block("backtest", recording, 0)),  # type: ignore[misc]
                own,
                min(pairs, MOST_PAIRS),
            )
            yield Result(
                name=f"backtest / {label}",
                value=statistics.median(values),
                unit="messages/s",
                reference=label,
                reference_value=statistics.median(references),
                ratio=paired(references, values),
                facts=facts
                | {
                    "version": worker.version,
                    "reference_does": does,
                    "reference_signals": theirs["signals"],
                    "reference_fills": theirs["fills"],
                },
            )

"""`quietcore backtest`, without its report: the simulator's books, queues and matching, and the runtime's own loop."""

from __future__ import annotations

import sys
from decimal import Decimal
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "runtime"))

from quietcore.backtest.engine import Backtest
from quietcore.backtest.ticks import filled_ring
from quietcore.bridge.scale import Step
from quietcore.sim.source import recorded
from quietcore.strategy import risk
from quietcore.strategy.crossing import crossing
from serve_backtests import FAST, SIZE, SLOW, Outcome, serve


def run(path: Path) -> Outcome:
    """The feed handler has filled the ring before the time counts."""
    source = recorded(path, None)
    with filled_ring(path, source.venue, source.total or 1, 20) as segment:
        symbol = segment.symbols[0]
        size = Step(symbol.lot_mantissa, symbol.lot_exponent).steps(Decimal(SIZE), "size")
        limits = risk.limits(max_position=10 * size, max_open_orders=4, max_order_rate=1000, price_band=0.01)
        result = Backtest(segment, source, symbol, crossing(FAST, SLOW, size), limits).run()
    return Outcome(result.messages, result.seconds, result.signals, len(result.trades))


if __name__ == "__main__":
    serve("quietcore", run)

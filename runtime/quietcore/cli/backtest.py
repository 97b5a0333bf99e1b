"""Run a strategy over a recording, as it would run live, and report what came of it.

The feed handler's own parsers make the ticks, the strategy and the risk check are the live ones, and orders match as in
the simulator; two runs give the same fills, to the last digit. `--latency` is how long an order takes to the venue.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from decimal import ROUND_CEILING, Decimal
from pathlib import Path

from quietcore.errors import ExitCode, QuietcoreError

ORDER_NOTIONAL = Decimal(20)  # well above the venue's least


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--recording", type=Path, required=True, metavar="FILE", help="plain or gzip")
    parser.add_argument("--venue", help="whose recording it is (default: seen from its first lines)")
    parser.add_argument("--symbol", default="", help="the symbol to trade (default: the first)")
    parser.add_argument(
        "--strategy", default="crossing", metavar="NAME|FILE", help="one that ships, or a file (crossing)"
    )
    parser.add_argument(
        "--parameter",
        action="append",
        default=[],
        metavar="NAME=NUMBER",
        help="of the strategy, any number of times (default: its own)",
    )
    parser.add_argument(
        "--order-size", metavar="SIZE", help="base coin (default: worth about 20 quote coins)"
    )
    parser.add_argument("--max-position", metavar="SIZE", help="base coin (default: ten orders)")
    parser.add_argument("--max-loss", default="", metavar="VALUE", help="quote coin (default: none)")
    parser.add_argument("--max-open-orders", type=int, default=4, metavar="N", help="(4)")
    parser.add_argument("--max-order-rate", type=int, default=10, metavar="N", help="a second (10)")
    parser.add_argument("--price-band", type=float, default=0.01, metavar="SHARE", help="of the mid (0.01)")
    parser.add_argument(
        "--latency", type=float, default=0.0, metavar="MS", help="from message to order at the venue (0)"
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="write the report as one page")
    parser.add_argument("--png", type=Path, metavar="FILE", help="write equity and fills as a picture")
    parser.add_argument("--json", action="store_true", help="everything as one JSON object, no tables")


def run(arguments: argparse.Namespace) -> int:
    """Run the backtest and report."""
    if sys.platform != "linux":
        raise QuietcoreError("a backtest needs Linux's shared memory", found=sys.platform, expected="linux")
    if not (math.isfinite(arguments.latency) and 0 <= arguments.latency <= 60_000):
        raise QuietcoreError("bad option", where="--latency", found=arguments.latency, expected="0 to 60000")
    from quietcore.backtest import report
    from quietcore.backtest.engine import Backtest
    from quietcore.backtest.ticks import filled_ring
    from quietcore.bridge.scale import Step
    from quietcore.sim.source import recorded
    from quietcore.strategy import choice
    from quietcore.strategy.interface import Context
    from quietcore.strategy.risk import NO_LIMIT, limits

    parameters = dict(map(choice.parameter, arguments.parameter))
    path = arguments.strategy if arguments.strategy.endswith(".py") else ""
    definition = choice.find(arguments.strategy, path)
    source = recorded(arguments.recording, arguments.venue)
    if arguments.symbol and arguments.symbol not in source.instruments:
        raise QuietcoreError(
            "symbol is not in the recording",
            where=f"--symbol {arguments.symbol}",
            found=", ".join(list(source.instruments)[:8]) + (" …" if len(source.instruments) > 8 else ""),
            remedy="name one of these, or leave the option out",
        )
    with filled_ring(arguments.recording, source.venue, source.total or 1, 20) as segment:
        symbol = segment.symbol(arguments.symbol) if arguments.symbol else segment.symbols[0]
        tick = Step(symbol.tick_mantissa, symbol.tick_exponent)
        lot = Step(symbol.lot_mantissa, symbol.lot_exponent)
        if symbol.name not in source.prices:
            raise QuietcoreError(
                "the recording tells no price of the symbol",
                where=symbol.name,
                found=", ".join(list(source.prices)[:8]) or "none",
                remedy="name another with --symbol",
            )
        price = Decimal(source.prices[symbol.name])
        usual = max(1, int((ORDER_NOTIONAL / price / lot.value).to_integral_value(ROUND_CEILING)))
        size = (
            lot.steps(_size(arguments.order_size, "--order-size"), "size") if arguments.order_size else usual
        )
        most = _size(arguments.max_position, "--max-position") if arguments.max_position else None
        loss = _size(arguments.max_loss, "--max-loss") if arguments.max_loss else None
        bound = limits(
            max_position=lot.steps(most, "position") if most is not None else 10 * size,
            max_open_orders=arguments.max_open_orders,
            max_order_rate=arguments.max_order_rate,
            price_band=arguments.price_band,
            max_loss=NO_LIMIT if loss is None else int(loss / (tick.value * lot.value)),
        )
        strategy = definition.make(parameters, Context(symbol.name, tick, lot, size), "--parameter")
        result = Backtest(segment, source, symbol, strategy, bound, latency_ms=arguments.latency).run()
    if arguments.html:
        report.write_html(result, arguments.html)
    if arguments.png:
        report.write_png(result, arguments.png)
    if arguments.json:
        json.dump(report.as_json(result), sys.stdout)
        print()
    else:
        from rich.console import Console

        Console(width=None if sys.stdout.isatty() else 100).print(report.tables(result))
    return ExitCode.OK


def _size(text: str, option: str) -> Decimal:
    from quietcore.config import is_positive

    if not is_positive(text):
        raise QuietcoreError("not a size", where=option, found=text, expected="a positive decimal number")
    return Decimal(text)

"""A backtest's outcome as tables, as one HTML page with nothing outside of it, as PNG, and as JSON."""

from __future__ import annotations

import datetime
import html
from decimal import Decimal
from pathlib import Path
from typing import Any

from quietcore.backtest.engine import Result
from quietcore.errors import ExitCode, QuietcoreError

SHOWN_TRADES = 500
WIDTH, HEIGHT = 900, 260
DECIMALS = Decimal("0.000001")


def assumptions(result: Result) -> list[str]:
    """Return what must be believed for the figures to hold."""
    return [
        f"an order reaches the venue {result.latency_ms:g} ms after the message that caused it"
        + ("" if result.latency_ms else ": before the next message"),
        "its fate is known at once; fees are the simulator's (taker 0.055 %, maker 0.02 %)",
        "own orders move no market, but what they took from a level is gone until the level changes",
        "a resting order stands behind what its level showed; trades and shrinking levels shorten that queue",
    ]


def figures(result: Result) -> dict[str, str]:
    """Return the outcome in words and numbers."""
    trades = result.trades
    hours = (result.last_ns - result.first_ns) / 3.6e12
    final = result.equity[-1][1] if result.equity else Decimal(0)
    worst = min((value for _, value in result.equity), default=Decimal(0))
    peak, drawdown = Decimal("-Infinity"), Decimal(0)
    for _, value in result.equity:
        peak = max(peak, value)
        drawdown = max(drawdown, peak - value)
    fees = sum((trade.fee for trade in trades), Decimal(0))
    partial = sum(not trade.whole for trade in trades)
    refused = ", ".join(f"{name} {count:,}" for name, count in result.refused.items())
    orders = ", ".join(f"{name} {count:,}" for name, count in result.orders.items() if count)
    return {
        "source": f"{result.source}, {result.symbol}, {hours:.2f} h",
        "strategy": result.strategy,
        "messages": f"{result.messages:,}"
        + (f", {result.missing:,} more are missing in the recording" if result.missing else ""),
        "ticks": f"{result.ticks:,}",
        "speed": f"{result.ticks / result.seconds:,.0f} ticks a second" if result.seconds else "–",
        "signals": f"{result.signals:,}",
        "refused by risk": refused or "none",
        "orders": orders or "none",
        "fills": f"{len(trades):,}, of them {partial:,} partial",
        "position at the end": f"{result.position:f}",
        "equity at the end": f"{final.quantize(DECIMALS).normalize():f}",
        "lowest equity": f"{worst.quantize(DECIMALS).normalize():f}",
        "largest drawdown": f"{drawdown.quantize(DECIMALS).normalize():f}",
        "fees": f"{fees.quantize(DECIMALS).normalize():f}",
    }


def as_json(result: Result) -> dict[str, Any]:
    """Return everything, decimals as strings."""
    return {
        "symbol": result.symbol,
        "strategy": result.strategy,
        "source": result.source,
        "latency_ms": result.latency_ms,
        "messages": result.messages,
        "missing": result.missing,
        "ticks": result.ticks,
        "signals": result.signals,
        "refused": dict(result.refused),
        "orders": result.orders,
        "position": f"{result.position:f}",
        "assumptions": assumptions(result),
        "fills": [
            {
                "time_ns": trade.time_ns,
                "side": "buy" if trade.buy else "sell",
                "price": f"{trade.price:f}",
                "quantity": f"{trade.quantity:f}",
                "maker": trade.maker,
                "whole": trade.whole,
                "fee": f"{trade.fee:f}",
                "client_id": trade.client_id,
            }
            for trade in result.trades
        ],
        "equity": [[at, f"{value:f}"] for at, value in result.equity],
        "seconds": result.seconds,
    }


def tables(result: Result) -> Any:
    """Return the report for a terminal."""
    from rich.console import Group
    from rich.table import Table

    outcome = Table(title="backtest", title_justify="left", show_header=False)
    outcome.add_column(style="bold")
    outcome.add_column()
    for name, value in figures(result).items():
        outcome.add_row(name, value)
    fills = Table(title="fills, the last 10", title_justify="left")
    for column in ("time", "side", "price", "quantity", "", ""):
        fills.add_column(column, justify="right" if column in ("price", "quantity") else "left")
    for trade in result.trades[-10:]:
        fills.add_row(*_row(trade))
    return Group(outcome, fills, *(f"assumed: {line}" for line in assumptions(result)))


def _row(trade: Any) -> tuple[str, ...]:
    moment = datetime.datetime.fromtimestamp(trade.time_ns / 1e9, datetime.UTC)
    return (
        moment.strftime("%H:%M:%S.%f"),
        "buy" if trade.buy else "sell",
        f"{trade.price:f}",
        f"{trade.quantity:f}",
        "maker" if trade.maker else "taker",
        "" if trade.whole else "partial",
    )


def _points(result: Result) -> str:
    """Return the equity as the points of an SVG line."""
    if not result.equity:
        return ""
    times = [at for at, _ in result.equity]
    values = [float(value) for _, value in result.equity]
    span, low, high = max(1, times[-1] - times[0]), min(values), max(values)
    height = (high - low) or 1.0
    return " ".join(
        f"{(at - times[0]) / span * WIDTH:.1f},{HEIGHT - (value - low) / height * HEIGHT:.1f}"
        for at, value in zip(times, values, strict=True)
    )


def write_html(result: Result, path: Path) -> None:
    """Write the report as one page."""
    rows = "".join(
        f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>"
        for name, value in figures(result).items()
    )
    fills = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in _row(trade)) + "</tr>"
        for trade in result.trades[:SHOWN_TRADES]
    )
    more = len(result.trades) - SHOWN_TRADES
    believed = "".join(f"<li>{html.escape(line)}</li>" for line in assumptions(result))
    _write(
        path,
        f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Backtest of {html.escape(result.strategy)}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 960px; margin: 2em auto; padding: 0 1em; color: #222 }}
table {{ border-collapse: collapse }} th, td {{ text-align: left; padding: 2px 12px 2px 0; vertical-align: top }}
td {{ font-variant-numeric: tabular-nums }} svg {{ width: 100%; border: 1px solid #ccc; margin: 1em 0 }}
</style></head><body>
<h1>Backtest of {html.escape(result.strategy)}</h1>
<table>{rows}</table>
<h2>Equity</h2>
<svg viewBox="-5 -5 {WIDTH + 10} {HEIGHT + 10}" role="img" aria-label="equity over time">
<polyline fill="none" stroke="#1667a8" stroke-width="1.5" points="{_points(result)}"/></svg>
<h2>What is assumed</h2><ul>{believed}</ul>
<h2>Fills</h2><table>{fills}</table>{f"<p>and {more:,} more</p>" if more > 0 else ""}
</body></html>
""".encode(),
    )


def write_png(result: Result, path: Path) -> None:
    """Write equity and fills as a picture; raise QuietcoreError where matplotlib is not installed."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise QuietcoreError(
            "a picture needs matplotlib",
            found="it is not installed",
            remedy="pip install matplotlib, or use --html",
        ) from error
    figure = Figure(figsize=(10, 6), layout="constrained")
    FigureCanvasAgg(figure)
    upper, lower = figure.subplots(2, 1, sharex=True)
    start = result.first_ns
    upper.plot([(at - start) / 1e9 for at, _ in result.equity], [float(value) for _, value in result.equity])
    upper.set_ylabel("equity, quote coin")
    upper.set_title(f"{result.strategy} on {result.symbol}: {len(result.trades):,} fills")
    for buy, colour, label in ((True, "tab:green", "buys"), (False, "tab:red", "sells")):
        side = [trade for trade in result.trades if trade.buy is buy]
        times, prices = [(one.time_ns - start) / 1e9 for one in side], [float(one.price) for one in side]
        lower.scatter(times, prices, s=8, c=colour, label=label)
    lower.set_ylabel("price")
    lower.set_xlabel("seconds of the recording")
    lower.legend()
    try:
        figure.savefig(path, format="png", dpi=110)
    except OSError as error:
        raise _unwritable(path, error) from error


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> QuietcoreError:
    return QuietcoreError(
        "report cannot be written", where=str(path), found=error.strerror, code=ExitCode.USAGE
    )

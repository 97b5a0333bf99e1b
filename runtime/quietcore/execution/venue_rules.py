"""The venue's own rules against what feed and configuration say, before the first order."""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal

import numpy as np

from quietcore.bridge.books import HEAD_WORDS, WORD_COUNTS, WORD_STATE, book_words, read_book
from quietcore.bridge.layout import STATE_LIVE
from quietcore.bridge.scale import Step
from quietcore.bridge.segment import Segment, Symbol
from quietcore.config import RuntimeConfig
from quietcore.errors import QuietcoreError
from quietcore.venues.interface import Instrument

# Words of venues for an instrument that takes no new orders; any other that is not normal is warned of.
NOT_TRADING = frozenset({"PreLaunch", "Settling", "Delivering", "Closed"})


def check_rules(rules: Instrument, tick: Step, lot: Step, order_size: str, where: str) -> None:
    """Raise where what the feed counts in cannot be ordered at the venue, or a configured size (``where``) cannot."""
    for name, step, ours in (("tick", rules.tick_size, tick.value), ("lot", rules.lot_size, lot.value)):
        if ours % step:
            raise QuietcoreError(
                f"feed and venue disagree about the {name} size",
                where=rules.symbol,
                found=f"{ours} in the feed",
                expected=f"a multiple of the venue's {step}",
                remedy="let feed and runtime use the same venue",
            )
    if rules.status in NOT_TRADING:
        raise QuietcoreError(
            "instrument does not trade",
            where=rules.symbol,
            found=f"status {rules.status}",
            expected="Trading",
            remedy="name another symbol, or wait until it trades",
        )
    size = Decimal(order_size)
    if not rules.min_quantity <= size <= rules.max_quantity:
        raise QuietcoreError(
            "order size outside the venue's limits",
            where=where,
            found=size,
            expected=f"{rules.min_quantity} to {rules.max_quantity}",
        )


def check_orders(rules: Instrument, config: RuntimeConfig, feed_price: Decimal, where: str) -> list[str]:
    """Hold the configured orders against the venue's least and most; return warnings.

    ``feed_price``: what the feed's book says, 0 for nothing; the venue's own price is preferred. Raises QuietcoreError
    where no order of this configuration can be accepted, at any price that its band allows around the venue's own.
    ``where`` names the configuration.
    """
    risk, warnings = config.risk, []
    size, least = Decimal(risk.order_size), rules.min_notional
    if risk.max_notional and Decimal(risk.max_notional) < least:
        raise QuietcoreError(
            "no order can be as small as the configuration wants",
            where=f"{where}: risk.max_notional",
            found=risk.max_notional,
            expected=f"at least {least}, the venue's least value of an order",
        )
    if rules.status:
        warnings.append(f"{rules.symbol} has the status {rules.status!r}: orders may be refused")
    if size > rules.max_post_only:
        warnings.append(
            f"{where}: risk.order_size {size} is above the venue's most for post-only orders, {rules.max_post_only}"
        )
    price = rules.price or feed_price
    if not price:
        if least:
            warnings.append(
                f"no price of {rules.symbol} is known yet: whether risk.order_size {size} reaches the venue's least "
                f"value of an order, {least}, is not checked"
            )
        return warnings
    if not rules.min_price <= price <= rules.max_price:
        warnings.append(
            f"{rules.symbol} trades at {price}, outside the venue's limits for orders, "
            f"{rules.min_price} to {rules.max_price}"
        )
    worth, highest = size * price, size * price * (1 + Decimal(str(risk.price_band)))
    figures = f"{size} × {price} = {worth.normalize():f}, and the venue's least value of an order is {least}"
    if worth < least:
        if rules.price and highest < least:
            raise QuietcoreError(
                "order size is worth less than the venue accepts",
                where=f"{where}: risk.order_size",
                found=figures,
                remedy=f"raise risk.order_size to {_enough(rules, price)} or more",
            )
        warnings.append(
            f"orders will be refused: {where}: risk.order_size: {figures}; "
            f"remedy: raise risk.order_size to {_enough(rules, price)} or more"
        )
    degrade = config.degrade
    if degrade.action == "reduce" and (degrade.max_latency_us or degrade.max_drops) and worth >= least:
        share = size * Decimal(str(degrade.share))
        if share < rules.min_quantity or share * price < least:
            warnings.append(
                f"{where}: degrade.share: {share.normalize():f} is below the venue's least order "
                f"({rules.min_quantity}, worth {least}): while degraded, orders will be refused"
            )
    return warnings


def _enough(rules: Instrument, price: Decimal) -> str:
    """Return the smallest size that the venue accepts at a price."""
    least = max(rules.min_notional / price, rules.min_quantity) / rules.lot_size
    return f"{least.to_integral_value(ROUND_CEILING) * rules.lot_size:f}"


def feed_price(segment: Segment, symbol: Symbol) -> Decimal:
    """Return the middle of the feed's book, 0 where it has none that is live."""
    depth = segment.ring.depth
    scratch = np.zeros(book_words(depth), dtype=np.int64)
    if not read_book(segment.ring, symbol.number, book_words(depth), scratch):
        return Decimal(0)
    counts = int(scratch[WORD_COUNTS])
    live = int(scratch[WORD_STATE]) & 0xFFFFFFFF == STATE_LIVE
    if not live or not counts & 0xFFFFFFFF or not counts >> 32 & 0xFFFFFFFF:
        return Decimal(0)
    tick = Step(symbol.tick_mantissa, symbol.tick_exponent)
    return (tick.decimal(int(scratch[HEAD_WORDS])) + tick.decimal(int(scratch[HEAD_WORDS + 2 * depth]))) / 2

"""The venue's own rules against what feed and configuration say."""

from __future__ import annotations

from decimal import Decimal

from quietcore.bridge.scale import Step
from quietcore.errors import QuietcoreError
from quietcore.venues.interface import Instrument


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
    size = Decimal(order_size)
    if not rules.min_quantity <= size <= rules.max_quantity:
        raise QuietcoreError(
            "order size outside the venue's limits",
            where=where,
            found=size,
            expected=f"{rules.min_quantity} to {rules.max_quantity}",
        )

"""The limits of a configuration, in the steps of an instrument."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from quietcore.bridge.scale import Step
from quietcore.config import RiskConfig
from quietcore.errors import QuietcoreError
from quietcore.strategy.risk import NO_LIMIT, limits


def risk_limits(risk: RiskConfig, tick: Step, lot: Step, where: str) -> Any:
    """Return one record of risk.LIMITS; ``where`` names the file in an error."""
    return limits(
        max_position=whole_lots(lot, risk.max_position, f"{where}: risk.max_position"),
        max_open_orders=risk.max_open_orders,
        max_order_rate=risk.max_order_rate,
        price_band=risk.price_band,
        max_order_size=whole_units(risk.max_order_size, lot.value),
        max_notional=whole_units(risk.max_notional, tick.value * lot.value),
        max_loss=whole_units(risk.max_loss, tick.value * lot.value),
        max_book_age=int(risk.max_book_age * 1e9),
    )


def whole_units(text: str, unit: Decimal) -> int:
    """Return a limit in whole units, rounded to the safe side."""
    return int(Decimal(text) / unit) if text else NO_LIMIT


def whole_lots(lot: Step, size: str, where: str) -> int:
    """Return a size in lots. Raises QuietcoreError where it is no multiple of one."""
    try:
        return lot.steps(Decimal(size), where)
    except QuietcoreError as error:
        raise QuietcoreError(
            "size is no multiple of the lot", where=where, found=error.found, expected=error.expected
        ) from error

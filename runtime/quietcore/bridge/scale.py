"""Prices and sizes between the wire's decimals and the ring's integers, without binary floating point."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from quietcore.errors import QuietcoreError


class Step(NamedTuple):
    """A tick or lot size: mantissa / 10**exponent."""

    mantissa: int
    exponent: int

    @property
    def value(self) -> Decimal:
        """The step as a decimal."""
        return Decimal(self.mantissa).scaleb(-self.exponent)

    def decimal(self, steps: int) -> Decimal:
        """Return ``steps`` steps as a decimal, exactly."""
        return Decimal(steps * self.mantissa).scaleb(-self.exponent)

    def text(self, steps: int) -> str:
        """Return ``steps`` steps in plain notation with the step's own number of decimals."""
        return f"{self.decimal(steps):f}"

    def steps(self, value: Decimal, what: str) -> int:
        """Return ``value`` in steps; raise where it is no whole multiple."""
        count = value / self.value
        if not count.is_finite() or count != count.to_integral_value():
            raise QuietcoreError(
                f"{what} is no multiple of the step",
                found=f"{value}",
                expected=f"a multiple of {self.value:f}",
            )
        return int(count)

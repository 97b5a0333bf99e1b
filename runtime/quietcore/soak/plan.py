"""What is measured, in which order and for how long: sizes of the market, then latency against load."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from quietcore.local.children import Interruption
from quietcore.soak.rig import Load, LoadRig, Placement

SIZES: Final = (10, 100, 2048)
LOADS: Final = (10, 25, 50, 75, 90, 100, 110)  # % of capacity
SWEEP_SYMBOLS: Final = 100
SOAK_LOAD: Final = 50.0  # % of capacity
CAPACITY_SHARE: Final = 0.1  # of a part's time, to find its capacity
LEAST_SECONDS: Final = 0.5

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Wishes:
    """What is asked for; ``seconds``: of all loads together. Starting and stopping comes on top."""

    seconds: float
    sizes: Sequence[int] = SIZES
    load: float = SOAK_LOAD
    loads: Sequence[float] = LOADS
    sweep_symbols: int = SWEEP_SYMBOLS
    placement: Placement = field(default_factory=Placement)


@dataclass
class Soak:
    """One size of the market: what the pipeline can take, and what became of a part of that over time."""

    symbols: int
    capacity: float
    load: Load


@dataclass
class Sweep:
    """Latency against load, for one size; ``loads`` in per cent of the capacity, in the order of ``steps``."""

    symbols: int
    capacity: float
    loads: list[float]
    steps: list[Load]


@dataclass
class Report:
    """All of it. ``sweep``: None where none was asked for."""

    soaks: list[Soak]
    sweep: Sweep | None
    placement: Placement
    virtual: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return what --json prints."""
        return asdict(self)

    @property
    def problems(self) -> list[str]:
        """What went wrong under loads that the pipeline should take; that it falls behind beyond them is no wonder."""
        return [
            f"{soak.symbols:,} symbols: {problem}" for soak in self.soaks for problem in soak.load.problems
        ]


def measure(wishes: Wishes, interruption: Interruption, tell: Tell) -> Report:
    """Measure everything, one part after the other; each has the same share of the time."""
    parts = len(wishes.sizes) + (1 if wishes.loads else 0)
    share = wishes.seconds / max(1, parts)
    soaks = [soak(symbols, share, wishes, interruption, tell) for symbols in wishes.sizes]
    swept = sweep(share, wishes, interruption, tell) if wishes.loads else None
    return Report(soaks, swept, wishes.placement)


def soak(symbols: int, seconds: float, wishes: Wishes, interruption: Interruption, tell: Tell) -> Soak:
    """Load a market of so many symbols."""
    tell(f"{symbols:,} symbols: starting")
    with LoadRig(symbols, wishes.placement, interruption) as rig:
        capacity = capacity_of(rig, seconds, tell)
        rate = capacity * wishes.load / 100
        left = max(LEAST_SECONDS, seconds * (1 - CAPACITY_SHARE))
        tell(f"{symbols:,} symbols: {rate:,.0f} messages/s for {left:.0f} s")
        return Soak(symbols, capacity, rig.load(rate, left))


def sweep(seconds: float, wishes: Wishes, interruption: Interruption, tell: Tell) -> Sweep:
    """Load one market with more and more."""
    symbols = wishes.sweep_symbols
    tell(f"sweep, {symbols:,} symbols: starting")
    steps = []
    with LoadRig(symbols, wishes.placement, interruption) as rig:
        capacity = capacity_of(rig, seconds, tell)
        each = max(LEAST_SECONDS, seconds * (1 - CAPACITY_SHARE) / len(wishes.loads))
        for load in wishes.loads:
            tell(f"sweep, {symbols:,} symbols: {load:g} % of {capacity:,.0f} messages/s for {each:.1f} s")
            steps.append(rig.load(capacity * load / 100, each))
    return Sweep(symbols, capacity, list(wishes.loads), steps)


def capacity_of(rig: LoadRig, seconds: float, tell: Tell) -> float:
    """Return how many messages a second the strategy gets where they are sent as fast as they are taken."""
    tell(f"{rig.symbols:,} symbols: finding the capacity")
    rig.load(None, LEAST_SECONDS)  # the first pages, the first buffers
    return rig.load(None, max(LEAST_SECONDS, seconds * CAPACITY_SHARE)).achieved

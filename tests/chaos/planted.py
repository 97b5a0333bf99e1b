"""Bugs that the chaos test must catch, each put into a process before its command runs (tests/chaos/program.py).

Each is a mistake that was made once, here or elsewhere, or that somebody might make.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

FOR_EVER = 1e9


@dataclass(frozen=True)
class Bug:
    """``plant`` changes the imported product; each of ``attacks`` may be the one that shows it."""

    plant: Callable[[], None]
    attacks: tuple[str, ...]


PLANTED: dict[str, Bug] = {}


def planted(name: str, *attacks: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Enter a function as what plants the bug ``name``."""

    def enter(plant: Callable[[], None]) -> Callable[[], None]:
        PLANTED[name] = Bug(plant, attacks)
        return plant

    return enter


def replace(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    """Put ``make(what is there)`` in the place of an attribute, which must be there."""
    before = getattr(owner, name)
    after = make(before)
    setattr(owner, name, functools.wraps(before)(after) if callable(before) else after)


@planted("guard latched for ever", "runtime killed three times", "runtime frozen three times")
def guard_latched() -> None:
    """After it has fired once it believes that all is done."""
    from quietcore.execution.guard import Guard

    def make(fire: Any) -> Any:
        async def once(guard: Any, *arguments: Any) -> None:
            if guard.counts.fired:
                guard.done = True
            else:
                await fire(guard, *arguments)

        return once

    replace(Guard, "fire", make)


@planted("guard cancels without a pause", "runtime killed while the guard's REST is refused")
def guard_without_pause() -> None:
    """What fails is tried again at once."""
    from quietcore.execution import guard

    replace(guard, "SWEEP_FIRST_SECONDS", lambda seconds: 0.0)
    replace(guard, "SWEEP_MOST_SECONDS", lambda seconds: 0.0)


@planted("order sent again after a lost reply", "venue: answers never", "trade stream replies lost")
def order_sent_again() -> None:
    """Nobody answered: so send it once more."""
    from quietcore.venues.bybit.trade_stream import BybitOrderEntry
    from quietcore.venues.interface import UncertainError

    def make(send: Any) -> Any:
        async def twice(entry: Any, operation: str, order: Any) -> Any:
            try:
                return await send(entry, operation, order)
            except UncertainError:
                return await send(entry, operation, order)

        return twice

    replace(BybitOrderEntry, "send", make)


@planted("nothing is asked after a lost stream", "private stream replies lost", "private stream refused")
def no_reconciliation() -> None:
    """It believes that nothing happened while the private stream was away."""
    from quietcore.execution.gateway import Gateway

    async def agree(gateway: Any) -> list[Any]:
        return []

    async def look(gateway: Any, *arguments: Any) -> None:
        """Ask nobody."""

    replace(Gateway, "_agree", lambda before: agree)
    replace(Gateway, "_look", lambda before: look)


@planted("executions counted as often as they are told", "venue: executions are told twice")
def lost_deduplication() -> None:
    """The same execution, told twice, moves the position twice."""
    from quietcore.execution.orders import OrderLedger

    def make(fill: Any) -> Any:
        def forgetful(ledger: Any, one: Any, **options: Any) -> Any:
            order = ledger.orders.get(one.client_id)
            if order is not None:
                order.executions.discard((one.order_id, one.execution_id))
            return fill(ledger, one, **options)

        return forgetful

    replace(OrderLedger, "fill", make)


@planted("status given up at the first failure", "status disk full", "status file replaced by a folder")
def status_given_up() -> None:
    """A passing failure made permanent."""
    from quietcore.errors import QuietcoreError
    from quietcore.observe import status

    failed: list[bool] = []

    def make(write: Any) -> Any:
        def once(path: Any, content: Any) -> None:
            if failed:
                return
            try:
                write(path, content)
            except QuietcoreError:
                failed.append(True)
                raise

        return once

    replace(status, "write", make)


@planted("SIGTERM waits for the venue", "runtime told to end while the venue is stalled")
def end_waits() -> None:
    """It ends when everything is cancelled, and not before."""
    from quietcore.execution import gateway_thread, runtime

    replace(runtime, "CLOSE_SECONDS", lambda seconds: FOR_EVER)
    replace(gateway_thread, "STUCK_SECONDS", lambda seconds: FOR_EVER)

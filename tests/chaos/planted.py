"""Bugs that the chaos test must catch, each put into a process before its command runs (tests/chaos/program.py).

Each is a mistake that was made once, here or elsewhere, or that somebody might make.
"""

from __future__ import annotations

import functools
import importlib
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


def replace(place: str, make: Callable[[Any], Any]) -> None:
    """Put ``make(what is there)`` in the place of ``module:attribute`` or ``module:Class.attribute``."""
    module, _, path = place.partition(":")
    *owners, name = path.split(".")
    owner = functools.reduce(getattr, owners, importlib.import_module(module))
    before = getattr(owner, name)
    after = make(before)
    setattr(owner, name, functools.wraps(before)(after) if callable(before) else after)


def nothing(*arguments: Any, **options: Any) -> None:
    """Do nothing."""


@planted("guard latched for ever", "runtime killed three times", "runtime frozen three times")
def guard_latched() -> None:
    """After it has fired once it believes that all is done."""

    def make(fire: Any) -> Any:
        async def once(guard: Any, *arguments: Any) -> None:
            if guard.counts.fired:
                guard.done = True
            else:
                await fire(guard, *arguments)

        return once

    replace("quietcore.execution.guard:Guard.fire", make)


@planted("guard cancels without a pause", "runtime killed while the guard's REST is refused")
def guard_without_pause() -> None:
    """What fails is tried again at once."""
    for name in ("SWEEP_FIRST_SECONDS", "SWEEP_MOST_SECONDS"):
        replace(f"quietcore.execution.guard:{name}", lambda seconds: 0.0)


@planted("order sent again after a lost reply", "venue: answers never", "trade stream replies lost")
def order_sent_again() -> None:
    """Nobody answered: so send it once more."""
    from quietcore.venues.interface import UncertainError

    def make(send: Any) -> Any:
        async def twice(entry: Any, operation: str, order: Any) -> Any:
            try:
                return await send(entry, operation, order)
            except UncertainError:
                return await send(entry, operation, order)

        return twice

    replace("quietcore.venues.bybit.trade_stream:BybitOrderEntry.send", make)


@planted(
    "nothing is asked after a lost stream", "orders and position change while the private stream is away"
)
def no_reconciliation() -> None:
    """It believes that nothing happened while the private stream was away."""

    async def agree(gateway: Any) -> list[Any]:
        return []

    async def look(gateway: Any, *arguments: Any) -> None:
        """Ask nobody."""

    replace("quietcore.execution.gateway:Gateway._agree", lambda before: agree)
    replace("quietcore.execution.gateway:Gateway._look", lambda before: look)


@planted("executions counted as often as they are told", "venue: executions are told twice")
def lost_deduplication() -> None:
    """The same execution, told twice, moves the position twice."""

    def make(fill: Any) -> Any:
        def forgetful(ledger: Any, one: Any, **options: Any) -> Any:
            order = ledger.orders.get(one.client_id)
            if order is not None:
                order.executions.discard((one.order_id, one.execution_id))
            return fill(ledger, one, **options)

        return forgetful

    replace("quietcore.execution.orders:OrderLedger.fill", make)


@planted("status given up at the first failure", "status disk full", "status file replaced by a folder")
def status_given_up() -> None:
    """A passing failure made permanent."""
    from quietcore.errors import QuietcoreError

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

    replace("quietcore.observe.state_file:write", make)


@planted("SIGTERM waits for the venue", "runtime told to end while the venue is stalled")
def end_waits() -> None:
    """It ends when everything is cancelled, and not before."""
    replace("quietcore.execution.runtime:CLOSE_SECONDS", lambda seconds: FOR_EVER)
    replace("quietcore.execution.gateway_thread:STUCK_SECONDS", lambda seconds: FOR_EVER)


@planted("kill undone where its file cannot be written", "kill switch by signal on a full disk")
def kill_undone() -> None:
    """The switch is what the file says, and a disk without room says nothing."""

    def make(look: Any) -> Any:
        def forgetful(keeper: Any) -> None:
            look(keeper)
            if keeper._killed and keeper._switch.identity() is None:
                with keeper._lock:
                    keeper._killed = ""
                    keeper._apply()

        return forgetful

    replace("quietcore.execution.kill_keeper:KillKeeper._look", make)


@planted(
    "order that the venue has forgotten stays open for ever",
    "simulator restarted empty during a kill",
    "simulator restarted empty",
)
def never_forgotten() -> None:
    """What the venue does not know is asked for without end."""
    replace("quietcore.execution.gateway:Gateway._forget", lambda before: nothing)


@planted("private stream that is mute is believed", "private stream mute")
def mute_believed() -> None:
    """As long as the connection is open, no word means that nothing has happened."""
    replace("quietcore.execution.gateway:Gateway._check_word", lambda before: nothing)
    replace("quietcore.venues.bybit.private:SILENCE_SECONDS", lambda seconds: FOR_EVER)


@planted(
    "venue's reason dropped",
    "venue refuses everything: wrong-key",
    "venue refuses everything: clock-skew",
)
def reason_dropped() -> None:
    """That it refuses is counted, why is not told."""
    replace("quietcore.execution.sending:Told.refusal", lambda before: nothing)
    replace("quietcore.execution.sending:SendingPause._say", lambda before: nothing)


@planted("second runtime let in", "second runtime on the account")
def second_let_in() -> None:
    """Nobody claims the account."""
    replace("quietcore.execution.exclusive:claim_account", lambda before: nothing)


@planted("heartbeat made once", "heartbeat deleted, then the runtime killed")
def heartbeat_once() -> None:
    """What it has open it writes to, whatever its name leads to."""

    def opened(heart: Any) -> bool:
        return bool(heart._handle >= 0)

    replace("quietcore.execution.heartbeat:Heartbeat._in_place", lambda before: opened)

"""How the venue stands to this gateway: what it refuses, whether orders may go out, and why a start fails."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

from quietcore.errors import ExitCode, QuietcoreError
from quietcore.execution.process import Warn
from quietcore.execution.sending import SendingPause, Told
from quietcore.venues.interface import Nature, OrderVenue, RefusedError, Trouble, UncertainError

ACCESS_REFUSED_MOST = 3  # questions in a row; then a start is given up

Failure = RefusedError | UncertainError
ORDER, QUESTION = "refuses an order", "does not answer a question"
NO_CANCEL, NO_CANCEL_ALL = "does not cancel an order", "does not cancel all orders"


class Standing:
    """``changed`` is called when orders may go out, or may no longer; ``start`` runs work beside the gateway's.

    ``trading``: orders are wanted: until then nothing is said of refusals but the reason why the start failed.
    """

    def __init__(
        self,
        venue: OrderVenue,
        symbol: str,
        warn: Warn,
        changed: Callable[[], None],
        start: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        self.told = Told(warn)
        self.trading = False
        self.access_refused = (
            asyncio.Event()
        )  # every question is refused, for a reason that somebody must mend
        self._venue, self._symbol, self._changed, self._start = venue, symbol, changed, start
        self._pause = SendingPause(lambda: asyncio.get_running_loop().time(), warn)
        self._last: Trouble | None = None
        self._in_a_row = 0

    @property
    def paused(self) -> str:
        """Why no order may go out, "" where they may."""
        return self._pause.reason

    def figures(self) -> dict[str, Any]:
        """Return what the status shows: why orders are held back, refusals by code, what was out of the ordinary."""
        refusals = {kind: refusal._asdict() for kind, refusal in self.told.refusals.items()}
        return {"paused": self.paused, "refusals": refusals, "kinds": dict(self.told.kinds)}

    def order_taken(self) -> None:
        """Take note that the venue took an order."""
        self._pause.taken()

    def order_refused(self, error: RefusedError) -> None:
        """Take note of an order that the venue refused."""
        began = self._pause.refused(error.trouble)
        self.told.refusal(ORDER, error.trouble, say=not began and not self.paused)
        self._begin(began)

    def order_unknown(self, error: UncertainError) -> None:
        """Take note of an order whose fate is not known."""
        self.told.refusal(ORDER, error.trouble, say=False)
        self._begin(self._pause.unknown(error.trouble))

    def unanswered(self, error: Failure, what: str = QUESTION) -> None:
        """Take note of a request, no order, that the venue did not do; one that refuses access gets no orders."""
        trouble = error.trouble
        if trouble.nature is Nature.REQUEST and isinstance(error, RefusedError):
            return  # a cancel of an order that is over
        self._last = trouble
        access = trouble.nature is Nature.ACCESS
        self._in_a_row = self._in_a_row + 1 if access else 0
        if self._in_a_row >= ACCESS_REFUSED_MOST:
            self.access_refused.set()
        began = access and self.trading and self._pause.refused(trouble)
        self.told.refusal(what, trouble, say=self.trading and not began and not self.paused)
        self._begin(began)

    def _begin(self, began: bool) -> None:
        if began:
            self._changed()
            self._start(self._resume())

    async def _resume(self) -> None:
        """Ask the venue a signed question until it answers; only then may orders go out."""
        while self.paused:
            await asyncio.sleep(self._pause.left())
            trouble = await self._asked_why()
            if trouble is None:
                self._pause.over()
            else:
                self.told.refusal(QUESTION, trouble, say=False)
                self._pause.not_over(trouble)
        self._changed()

    async def _asked_why(self) -> Trouble | None:
        """Return why a signed question is not answered, None where it is."""
        try:
            await self._venue.open_orders(self._symbol)
        except (RefusedError, UncertainError) as error:
            return error.trouble
        return None

    async def not_opened(self, seconds: float, *, stream_up: bool, stream: Trouble) -> QuietcoreError:
        """Return why a start did not come about within ``seconds``; ``stream``: why the private stream is not up."""
        trouble = self._last
        if stream.nature is Nature.ACCESS and trouble is None:
            # The private stream says little of why it wants no key; a signed question is answered with a code.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    trouble = await self._asked_why()
        why = "" if trouble is None else trouble._replace(remedy="").line()
        remedy = "" if trouble is None else trouble.remedy
        if stream_up:
            certain = trouble is not None and trouble.nature is Nature.ACCESS
            nothing = f"nothing certain within {seconds:g} s"
            return QuietcoreError(
                "the venue does not tell position, executions and open orders",
                where=self._venue.name,
                found=why if certain else f"{nothing}: {why}" if why else nothing,
                remedy=remedy or "check venue.rest and what the key may read",
                code=ExitCode.UNKNOWN,
            )
        found = stream.found or f"nothing within {seconds:g} s"
        return QuietcoreError(
            "private stream does not come up",
            where=self._venue.name,
            found=f"{found}; a signed request: {why}" if why else found,
            remedy=remedy or stream.remedy or "check venue.private_websocket, the key, and this host's clock",
            code=ExitCode.UNKNOWN,
        )

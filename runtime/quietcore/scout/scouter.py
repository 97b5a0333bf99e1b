"""`DynamicAPIScouter`: measures a venue's endpoints and says which are fastest from here, now.

Candidates are the account's region's hosts, times the addresses that each resolves to. What is elected is a host
for stream and for REST each, and the address it is to be reached at: `pins` holds that for a client's resolver.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import ssl
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from quietcore.errors import ExitCode, QuietcoreError
from quietcore.scout import probe
from quietcore.scout.budget import ConnectionBudget
from quietcore.scout.history import History
from quietcore.scout.probe import Candidate, Measurement
from quietcore.scout.ranking import HYSTERESIS, POLICIES, Record, Score, elect, ranked
from quietcore.venues.interface import Target
from quietcore.venues.registry import DEFAULT_VENUE, endpoint_targets
from quietcore.venues.wire import tls_context

KINDS = ("websocket", "rest")
PROBE_SECONDS = 3.0
TOGETHER = 8  # probes at a time: more would measure each other
# A fifth of what the venue allows (500 connections a domain in five minutes): the rest is for feed and orders.
CONNECTIONS, CONNECTIONS_SECONDS = 100, 300.0

Callback = Callable[[str, str], Awaitable[None] | None]
Resolve = Callable[[str, int], Awaitable[list[str]]]


class DynamicAPIScouter:
    """Elects the fastest endpoints, and again every ``switch_interval`` seconds.

    Args:
        check_interval: seconds from one round of measurements to the next.
        switch_interval: seconds from one election to the next; an elected endpoint that fails is left at once.
        top_n: candidates a kind that are measured in every round, once all were measured; the others in turn.
        testnet: the venue's test net.
        venue, region: whose hosts, and of which of its regions (an account is bound to one).
        policy: "hysteresis" changes only to what is clearly better; "always" to whatever is best.
        targets: these instead of the venue's. tls_ca: PEM file of a further authority.
        history: file for what was measured. resolve: instead of the system's resolver.
    """

    def __init__(
        self,
        check_interval: float = 10.0,
        switch_interval: float = 60.0,
        top_n: int = 5,
        testnet: bool = False,
        *,
        venue: str = DEFAULT_VENUE,
        region: str = "global",
        policy: str = HYSTERESIS,
        targets: Sequence[Target] | None = None,
        tls_ca: str = "",
        history: Path | None = None,
        resolve: Resolve = probe.resolve,
        budget: ConnectionBudget | None = None,
    ) -> None:
        for name, value in (("check_interval", check_interval), ("switch_interval", switch_interval)):
            if not 0 < value < float("inf"):
                raise QuietcoreError("bad value", where=name, found=value, expected="more than 0 seconds")
        if top_n < 1:
            raise QuietcoreError("bad value", where="top_n", found=top_n, expected="1 or more")
        if policy not in POLICIES:
            raise QuietcoreError(
                "bad value", where="policy", found=repr(policy), expected=" or ".join(POLICIES)
            )
        self.check_interval, self.switch_interval = check_interval, switch_interval
        self.top_n, self.policy = top_n, policy
        self.targets = list(targets) if targets is not None else endpoint_targets(venue, region, testnet)
        self.records: dict[Candidate, Record] = {}
        self.elected: dict[str, Candidate | None] = dict.fromkeys(KINDS)
        self.pins: dict[str, str] = {}  # host → address to reach it at
        self.history = History(history)
        self.budget = budget or ConnectionBudget(CONNECTIONS, CONNECTIONS_SECONDS)
        self.rounds = 0
        self.problems: list[str] = []  # of the callback and of the history file; the last hundred
        self._context = (
            (tls_context(tls_ca) or ssl.create_default_context())
            if any(target.tls for target in self.targets)
            else None
        )
        self._resolve = resolve
        self._callback: Callback | None = None
        self._task: asyncio.Task[None] | None = None
        self._next_election = 0.0
        self._turn = 0
        self._saving: asyncio.Future[None] | None = None

    # life

    async def start(self) -> None:
        """Measure until something can be elected, then go on in the background.

        Raises QuietcoreError (exit 3) where no endpoint of a kind answers.
        """
        if self._task is not None:
            return
        for _ in range(3):
            await self.check()
            self._elect()
            if all(self.elected[kind] for kind in self._kinds()):
                break
        else:
            missing = [kind for kind in self._kinds() if self.elected[kind] is None]
            raise QuietcoreError(
                "no endpoint answers",
                where=", ".join(missing),
                found="; ".join(sorted(set(self._errors()))[:3]) or "no address",
                remedy="check this host's network and resolver, and the region",
                code=ExitCode.UNKNOWN,
            )
        self._task = asyncio.create_task(self._run(), name="scouter")

    async def stop(self) -> None:
        """End the background work."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    def set_endpoint_change_callback(self, callback: Callback | None) -> None:
        """Call ``callback(ws_url, rest_url)``, plain or async, whenever an election changes host or address."""
        self._callback = callback

    def get_fastest_endpoints(self) -> tuple[str, str]:
        """Return (WebSocket URL, REST URL) as elected, scheme and host. Raises before `start` has returned."""
        urls = []
        for kind in KINDS:
            candidate = self.elected[kind]
            if candidate is None:
                if kind not in self._kinds():
                    urls.append("")
                    continue
                raise QuietcoreError("nothing is elected yet", where=kind, remedy="await start() first")
            urls.append(candidate.target.url)
        return urls[0], urls[1]

    def standings(self, kind: str) -> list[Score]:
        """Return the best ``top_n`` of one kind."""
        return ranked(self.records, kind)[: self.top_n]

    # work

    def _kinds(self) -> list[str]:
        return [kind for kind in KINDS if any(target.kind == kind for target in self.targets)]

    def _errors(self) -> list[str]:
        return [record.score().last.error for record in self.records.values() if record.measurements]

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        self._next_election = loop.time() + self.switch_interval
        begin = loop.time()
        while True:
            begin = max(begin + self.check_interval, loop.time())
            await asyncio.sleep(begin - loop.time())
            await self.check()
            failing = any(
                candidate is not None and self.records[candidate].failing
                for candidate in self.elected.values()
            )
            if failing or loop.time() >= self._next_election:
                self._next_election = loop.time() + self.switch_interval
                if self._elect():
                    await self._tell()

    async def check(self) -> None:
        """Do one round of measurements."""
        names = {(target.host, target.port) for target in self.targets}
        resolved = dict(
            zip(names, await asyncio.gather(*(self._look_up(*name) for name in names)), strict=True)
        )
        dns = {}
        for target in self.targets:
            addresses, taken = resolved[target.host, target.port]
            for address in addresses:
                candidate = Candidate(target, address)
                self.records.setdefault(candidate, Record(candidate))
                dns[candidate] = taken
        room = asyncio.Semaphore(TOGETHER)
        entries = await asyncio.gather(*(self._probe(one, dns.get(one, 0), room) for one in self._due(dns)))
        self.rounds += 1
        try:
            await asyncio.to_thread(self.history.save, [entry for entry in entries if entry is not None])
        except QuietcoreError as error:
            self._problem(str(error))
            self.history.path = None

    async def _look_up(self, host: str, port: int) -> tuple[list[str], int]:
        begin = time.perf_counter_ns()
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                addresses = await self._resolve(host, port)
        except (OSError, TimeoutError) as error:
            self._problem(f"{host}: {str(error) or 'no answer of the resolver'}")
            return [], 0
        return addresses, time.perf_counter_ns() - begin

    def _due(self, present: dict[Candidate, int]) -> list[Candidate]:
        """Return whom to measure: the elected and the best of each kind, those not measured yet, one more in turn."""
        due: dict[Candidate, None] = {}
        for kind in self._kinds():
            elected = self.elected[kind]
            if elected is not None:
                due[elected] = None  # even where it is no longer resolved: it is in use
            mine = [candidate for candidate in present if candidate.target.kind == kind]
            fresh = [candidate for candidate in mine if len(self.records[candidate].measurements) < 2]
            best = [score.candidate for score in ranked(self.records, kind) if score.candidate in present]
            rest = [candidate for candidate in best[self.top_n :] if candidate not in fresh]
            self._turn += 1
            turn = [rest[self._turn % len(rest)]] if rest else []
            due.update(dict.fromkeys([*best[: self.top_n], *fresh, *turn]))
        return list(due)

    async def _probe(
        self, candidate: Candidate, dns_ns: int, room: asyncio.Semaphore
    ) -> dict[str, Any] | None:
        if not self.budget.take(candidate.target.host):
            return None
        async with room:
            measurement: Measurement = await probe.measure(candidate, self._context, PROBE_SECONDS, dns_ns)
        self.records[candidate].add(measurement)
        return self.history.measured(candidate, measurement)

    def _elect(self) -> bool:
        """Elect for each kind; return whether anything changed."""
        changed, entries = False, []
        for kind in self._kinds():
            old = self.elected[kind]
            new = elect(old, ranked(self.records, kind), self.policy)
            if new is not None and new != old:
                self.elected[kind] = new
                self.pins[new.target.host] = new.address
                entries.append(self.history.elected(kind, time.time(), old, new))
                changed = True
        if entries and self.history.path is not None:
            self._saving = asyncio.get_running_loop().run_in_executor(None, self._save, entries)
        return changed

    def _save(self, entries: list[dict[str, Any]]) -> None:
        try:
            self.history.save(entries)
        except QuietcoreError as error:
            self._problem(str(error))

    async def _tell(self) -> None:
        if self._callback is None:
            return
        try:
            result = self._callback(*self.get_fastest_endpoints())
            if inspect.isawaitable(result):
                await result
        except Exception as error:  # a listener's fault must not end the measurements
            self._problem(f"endpoint change callback: {type(error).__name__}: {error}")

    def _problem(self, text: str) -> None:
        self.problems = [*self.problems[-99:], text]

"""What must hold after every attack, whatever it was, checked against the simulator's own books."""

from __future__ import annotations

import random
import re
import signal
import time
from decimal import Decimal
from typing import NamedTuple

from tests.chaos.attack import KILL_GRACE, OPEN_AFTER_KILL, Attack
from tests.chaos.part import Broken, Mark, Part
from tests.chaos.pipeline import Pipeline

FLOW = 3  # orders that the venue must have accepted anew
STATUS_SECONDS = 6.0
ARMED_SECONDS = 8.0
CLEARED_SECONDS = 8.0
LATEST_EXECUTIONS = 300
UNFORESEEN = re.compile(
    r"Traceback \(most recent call last\)|gateway: [A-Za-z]+\(|Exception ignored|never awaited"
)
# What ends by an attack that may end it must say of what: memory, a disk, a file, a descriptor.
LAST_WORDS = (
    r"(?i)memory|truncated|cut short|no space|space left|cannot be|too many open files|bus error|SIGBUS"
)
CLIENT_ID = re.compile(r"q[0-9a-f]{16}-[0-9]+")
FAR = Decimal("0.05")  # no market of the simulator moves so far between two orders


class Before(NamedTuple):
    """What is needed from before the attack."""

    marks: dict[str, Mark]
    sent: int


def before(p: Pipeline) -> Before:
    """Return it."""
    return Before({part.name: part.mark() for part in p.parts}, len(p.sent))


def hold(p: Pipeline, attack: Attack, chance: random.Random, start: Before) -> None:
    """Let the supervisor do its work, wait for trading, and hold everything against the books; raise Broken."""
    revive(p, attack, start)
    base = p.moment().accepted
    p.until(lambda: p.moment().accepted >= base + FLOW, attack.recover, "orders flow again")
    p.until(lambda: fresh_status(p, since=0.0), STATUS_SECONDS, "a status that is fresh")
    p.until(lambda: p.report().get("armed") == 1, ARMED_SECONDS, "the guard is armed again, and reports it")
    switch_off_and_compare(p, chance)
    for part in p.parts:
        quiet_log(part, start.marks[part.name])
    for part in p.parts:
        if not part.alive:
            raise Broken(f"the {part.name} ended afterwards: {part.death()}")


def revive(p: Pipeline, attack: Attack, start: Before) -> None:
    """Start again what has ended, as a service manager would; raise Broken for an end that may not be."""
    ended: list[Part] = []
    for part in p.parts:
        if part.alive:
            part.signal(signal.SIGCONT)
            continue
        death = part.death()
        if death and part.name not in attack.may_end:
            raise Broken(f"the {part.name} ended by itself: {death}")
        if death and not part.says(LAST_WORDS, start.marks[part.name]):
            raise Broken(f"the {part.name} ended without a word: {death}")
        ended.append(part)
    for part in ended:
        if part is p.simulator:
            p.start_simulator()
        else:
            part.start()


def fresh_status(p: Pipeline, since: float) -> bool:
    """Return whether the status is of the running runtime and written after ``since`` and lately, UTC seconds."""
    status = p.status()
    if status is None or status.get("final") or status.get("pid") != p.runtime.pid:
        return False
    return bool(status["written"] > max(since, time.time() - 2.5))


def switch_off_and_compare(p: Pipeline, chance: random.Random) -> None:
    """Throw the kill switch in one of its ways: all must be cancelled, and both sides hold the same position."""
    way = chance.choices(("file", "signal", "command"), (6, 3, 1))[0]
    if way == "file":
        p.kill_file.write_text("thrown by the chaos test\n")
    elif way == "signal":
        p.runtime.signal(signal.SIGUSR1)
    else:
        done = p.switch_off()
        if done.returncode:
            raise Broken(f"quietcore kill: exit code {done.returncode}: {done.stderr.strip()}")
    p.let_pass(KILL_GRACE)
    off = time.monotonic()
    p.until(lambda: p.moment().open == 0, OPEN_AFTER_KILL, f"nothing open after the kill switch ({way})")
    quiet, written = p.moment(), time.time()
    p.until(
        lambda: fresh_status(p, since=written) and same_position(p),
        STATUS_SECONDS,
        lambda: f"the runtime's position is the venue's, {quiet.position}, nothing open; it says {told(p)}",
    )
    now = p.moment()
    if now.accepted != quiet.accepted or now.open:
        raise Broken(
            f"{now.accepted - quiet.accepted} orders accepted, {now.open} open, after the kill switch ({way})"
        )
    nothing_twice(p)
    late = [one for one in p.sent if one.at > off]
    if late:
        raise Broken(f"{len(late)} orders sent after the kill switch ({way}): {late[0].client_id}")
    p.switch_on()
    p.until(
        lambda: p.moment().accepted > now.accepted,
        CLEARED_SECONDS,
        "orders after the kill switch was cleared",
    )


def told(p: Pipeline) -> str:
    """Return what the runtime says of itself, for a message."""
    status = p.status()
    if status is None:
        return "nothing"
    return f"position {status['position']}, {status['orders']['open']} open, killed {status['killed']!r}"


def same_position(p: Pipeline) -> bool:
    """Return whether status and books agree, with nothing open."""
    status, truth = p.status(), p.moment()
    return (
        status is not None
        and bool(status["killed"])
        and status["orders"]["open"] == 0
        and Decimal(status["position"]) == truth.position
    )


def nothing_twice(p: Pipeline) -> None:
    """No order request left twice, none was executed beyond its size, and no price is absurd."""
    sizes: dict[str, Decimal] = {}
    last: Decimal | None = None
    for one in p.sent:
        if one.client_id in sizes:
            raise Broken(f"order {one.client_id} was sent twice")
        if not CLIENT_ID.fullmatch(one.client_id):
            raise Broken(f"an order with a strange id was sent: {one.client_id!r}")
        price, sizes[one.client_id] = Decimal(one.price), Decimal(one.quantity)
        if last is not None and abs(price - last) > FAR * last:
            raise Broken(f"order {one.client_id} at {price} after one at {last}: not a price of this market")
        last = price
    for client_id, quantity in p.books.executed(LATEST_EXECUTIONS).items():
        if client_id in sizes and Decimal(quantity) / 10**8 > sizes[client_id]:
            raise Broken(f"order {client_id} of {sizes[client_id]} was executed {Decimal(quantity) / 10**8}")


def quiet_log(part: Part, since: Mark) -> None:
    """Nothing unforeseen is in a log."""
    for line in part.log(since).splitlines():
        if UNFORESEEN.search(line):
            raise Broken(f"in the log of the {part.name}: {line.strip()}")

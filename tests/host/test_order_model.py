"""Settings that depend on each other: whatever the start, the wish and the failure, undo ends where it all began."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from tests.host.order_walks import FAILURES, walk

from quietcore.host import attempts, hands, undo
from quietcore.host.hands import Real
from quietcore.host.journal import Journal, Row
from quietcore.host.kinds import Change
from quietcore.host.machine import Machine
from quietcore.host.targets import read_target

WALKS = 2000
PARTS = 8
# Within how many walks a planted bug is found.
SOON = 120


@pytest.mark.timeout(600)
@pytest.mark.parametrize("part", range(PARTS))
def test_every_walk_ends_where_it_began(part: int) -> None:
    kinds = {walk(seed) for seed in range(part, WALKS, PARTS)}
    assert kinds == set(FAILURES)


def nothing_beside(machine: Machine, target: str) -> Iterator[tuple[str, Any]]:
    """Keep the original of what is written, and of nothing that this changes too."""
    yield from ()


def keep_after_the_write(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write first, and keep then what is found."""
    keep, write = Real.keep, Real.write

    def written_first(self: Real, role: str, change: Change) -> None:
        write(self, role, change)
        found = read_target(self._machine, change.target)
        keep(self, role, [Change(change.target, found, change.new)])

    monkeypatch.setattr(Real, "keep", lambda self, role, changes: None)
    monkeypatch.setattr(Real, "write", written_first)


def lose_an_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lose the last entry of each batch that the journal is given."""
    append = Journal.append

    def losing(self: Journal, entries: Iterable[Row]) -> None:
        append(self, list(entries)[:-1])

    monkeypatch.setattr(Journal, "append", losing)


def write_once_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take one order for the right one: nothing is looked at again."""
    monkeypatch.setattr(attempts, "ROUNDS", 1)
    monkeypatch.setattr(undo, "ROUNDS", 1)


BUGS = {
    "nothing kept beside": lambda patch: patch.setattr(hands, "originals", nothing_beside),
    "kept after the write": keep_after_the_write,
    "a journal entry lost": lose_an_entry,
    "one order only": write_once_only,
}


def walk_some() -> None:
    for seed in range(SOON):
        walk(seed)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("bug", sorted(BUGS))
def test_a_planted_bug_is_found(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    BUGS[bug](monkeypatch)
    with pytest.raises(AssertionError, match=r"^walk \d+ \("):
        walk_some()

"""Every reader of a text from outside: 10,000 inputs whose truth is known; `make proof` plays a million of each."""

from __future__ import annotations

import os

import pytest
from tests.readers.campaign import Reader, caught, discovered, play

READERS = discovered()
INPUTS = int(os.environ.get("QUIETCORE_READER_INPUTS", "10000"))


@pytest.fixture(params=sorted(READERS))
def reader(request: pytest.FixtureRequest) -> Reader:
    return READERS[request.param]


@pytest.mark.timeout(900)
def test_the_reader_returns_the_truth_or_refuses_as_stated(reader: Reader) -> None:
    tally = play(reader, range(INPUTS))
    print(f"{reader.name}: {tally.legal} legal, damaged {dict(tally.damaged)}")
    assert tally.inputs == INPUTS
    assert reader.damages, "a reader without a stated refusal"
    assert set(tally.damaged) == set(reader.damages), "a kind of damage that was never done"


@pytest.mark.timeout(300)
def test_planted_bugs_are_caught(reader: Reader) -> None:
    assert reader.planted, "a campaign that was never seen failing"
    missed = [bug for bug in reader.planted if not caught(reader, bug)]
    assert not missed

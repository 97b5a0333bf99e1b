"""Two runtimes on one account that cannot know of each other by anything but the venue: the later one ends."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from tests.runtime.conftest import MakeWriter
from tests.runtime.fake_venue import FakeVenue
from tests.runtime.test_run import Market, Run

from quietcore.errors import QuietcoreError
from quietcore.execution.rivals import SIGNS, Rivals, started

EARLIER, LATER = "q6a000000aaaaaaaa", "q6a000001bbbbbbbb"


def test_only_new_orders_after_a_dead_runs_last_request_are_a_sign_of_life() -> None:
    said: list[str] = []
    found: list[QuietcoreError] = []
    rivals = Rivals(LATER, said.append)
    rivals.found = found.append
    for number in range(10):
        rivals.met(f"{EARLIER}-{number}", 0.0)
    rivals.begin(10.0)
    rivals.begin(50.0)
    for number in range(10):
        rivals.met(f"{EARLIER}-{number}", 9.9)
    for _ in range(10):
        rivals.met(f"{EARLIER}-1", 11.0)
    assert (said, found) == ([], []), "an order that is told of again is no new one"
    for number in range(SIGNS):
        rivals.met(f"{EARLIER}-{number}", 12.0)
    (error,) = found
    assert f"another runtime has this account; found run {EARLIER}, started 2026-" in str(error)
    for number in range(100):
        rivals.met(f"{EARLIER}-{100 + number}", 13.0)
    assert len(found) == 1
    assert said == []


def test_the_earlier_one_goes_on_and_says_so() -> None:
    said: list[str] = []
    rivals = Rivals(EARLIER, said.append)
    rivals.begin(0.0)
    for number in range(2 * SIGNS):
        rivals.met(f"{LATER}-{number}", 1.0)
    (line,) = said
    assert f"another runtime trades on this account (run {LATER}" in line
    assert started("x") == "nobody knows when"


@pytest.mark.timeout(300)
def test_a_second_runtime_by_another_address_ends_by_itself(
    make_writer: MakeWriter, feed: str, tmp_path: Path
) -> None:
    """As from another host: the address differs, so no claim here tells."""
    with FakeVenue(default="rest") as venue, Market(make_writer(capacity=65536)):
        first = Run(tmp_path, feed, venue)
        try:
            first.ready()
            first.until(lambda: len(venue.created) >= 1)
            folder = tmp_path / "other"
            folder.mkdir()
            time.sleep(1.1)  # the id tells seconds apart
            second = Run(folder, feed, venue, rest=venue.url.replace("127.0.0.1", "localhost"))
            try:
                code, _, errors = second.result()
            finally:
                second.close()
            assert code == 2, errors
            assert "another runtime has this account; found run q" in errors
            assert first.process.poll() is None
            sent = len(venue.created)
            first.until(lambda: len(venue.created) > sent)
        finally:
            first.close()

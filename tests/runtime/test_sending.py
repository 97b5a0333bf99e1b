"""When orders may go out: one refusal, many of them, none answered, and the way back."""

from __future__ import annotations

import pytest

from quietcore.execution.sending import KEPT, PAUSE_MOST_SECONDS, REFUSED_IN_A_ROW, SendingPause, Told
from quietcore.venues.interface import Nature, Trouble

KEY = Trouble("10003 API key is invalid.", "the key is not known here", Nature.ACCESS, "check the key")
RATE = Trouble("10006 too many", nature=Nature.PASSING, wait=7.0)
POOR = Trouble("110007 ab not enough")
SILENT = Trouble("no answer within 3 s", nature=Nature.PASSING)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0
        self.lines: list[str] = []
        self.pause = SendingPause(lambda: self.now, self.lines.append)


@pytest.fixture
def at() -> Clock:
    return Clock()


def test_a_refusal_of_everything_pauses_at_once_and_longer_each_time(at: Clock) -> None:
    waits = []
    for _ in range(8):
        assert at.pause.refused(KEY)
        assert at.pause.reason == KEY.line()
        assert not at.pause.refused(KEY), "one pause at a time"
        waits.append(at.pause.left())
        at.now += waits[-1]
        at.pause.over()
    assert waits == [1.0, 1.0, 2.0, 4.0, 8.0, 16.0, PAUSE_MOST_SECONDS, PAUSE_MOST_SECONDS]
    assert len(at.lines) == 1
    assert "10003 API key is invalid. (the key is not known here); remedy: check the key" in at.lines[0]
    at.pause.taken()
    assert at.lines[1:] == ["the venue takes orders again, after 92.0 s"]
    assert at.pause.refused(KEY)
    assert at.pause.left() == 1.0


def test_refusals_of_single_orders_pause_when_they_do_not_end(at: Clock) -> None:
    for _ in range(REFUSED_IN_A_ROW - 1):
        assert not at.pause.refused(POOR)
    at.pause.taken()
    for _ in range(REFUSED_IN_A_ROW - 1):
        assert not at.pause.refused(POOR)
    assert at.pause.refused(POOR)
    assert (
        at.pause.reason == f"{REFUSED_IN_A_ROW} orders in a row refused, the last one: 110007 ab not enough"
    )


def test_a_pause_that_the_venue_asks_for_is_as_long_as_it_says(at: Clock) -> None:
    assert at.pause.refused(RATE)
    assert at.pause.left() == 7.0
    at.pause.not_over(RATE._replace(wait=9.0))
    assert at.pause.left() == 9.0


def test_one_order_without_an_answer_is_asked_about_and_not_talked_about(at: Clock) -> None:
    assert at.pause.unknown(SILENT)
    assert at.pause.left() == 0.0
    at.pause.over()
    at.pause.taken()
    assert at.lines == []
    assert at.pause.unknown(SILENT)
    at.pause.over()
    assert at.pause.unknown(SILENT), "and the next one too"
    assert at.pause.left() == 1.0
    assert len(at.lines) == 1
    at.pause.not_over(SILENT)
    at.pause.not_over(SILENT)
    assert at.pause.left() == 2.0
    at.pause.taken()
    assert at.pause.reason, "an order that was on its way before proves nothing"
    assert len(at.lines) == 1


def test_what_is_told_is_told_once_and_bounded() -> None:
    lines: list[str] = []
    told = Told(lines.append)
    for number in range(3):
        told.refusal("refuses an order", Trouble(f"10002 req_timestamp[{number}]"), say=number > 0)
        told.kind("execType 'X'", "so what")
    assert told.refusals["10002"].times == 3
    assert told.refusals["10002"].found == "10002 req_timestamp[2]"
    assert told.kinds == {"execType 'X'": 3}
    assert len(lines) == 2
    for number in range(200):
        told.refusal("refuses an order", Trouble(f"{number + 20_000}"), say=True)
        told.kind(f"kind {number}", "so what")
    assert len(told.refusals) == len(told.kinds) == KEPT + 1
    assert sum(one.times for one in told.refusals.values()) == 203
    assert sum(told.kinds.values()) == 203
    assert len(lines) <= 2 * KEPT + 4

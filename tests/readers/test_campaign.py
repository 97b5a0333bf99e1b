"""The campaign sees a reader that is wrong, in each way in which one can be."""

from __future__ import annotations

import random
from typing import Any

import pytest
from tests.readers.campaign import Damage, Reader, WrongError, caught, play


class OursError(Exception):
    """Stands for a refusal of the project's own."""


def render(chance: random.Random) -> tuple[str, int]:
    truth = chance.randrange(1000)
    return f"{' ' * chance.randrange(3)}{truth}", truth


def read(text: str) -> int | None:
    if not text.strip():
        return None
    try:
        return int(text)
    except ValueError:
        raise OursError(text) from None


def spoil(chance: random.Random, text: str) -> str:
    return f"{text}x"


DAMAGES = {
    "a letter behind it": Damage(spoil, OursError),
    "nothing there": Damage(lambda chance, text: "", lambda found: found is None),
    "never to be done": Damage(lambda chance, text: None, OursError),
}


def reader(read: Any) -> Reader:
    return Reader("number", render, read, DAMAGES, {"wrong": lambda text: 7})


def test_a_right_reader_passes() -> None:
    tally = play(reader(read), range(400))
    assert tally.inputs == 400
    assert tally.legal > 300
    assert tally.damaged == {"a letter behind it": 34, "nothing there": 33}


def test_the_same_number_gives_the_same_input() -> None:
    seen: list[list[str]] = []
    for _ in range(2):
        seen.append([])
        play(reader(lambda text: seen[-1].append(text) or read(text)), range(50), seed=3)  # type: ignore[func-returns-value]
    assert seen[0] == seen[1]


def foreign(text: str) -> int:
    return int(text)  # ends in ValueError


def silent(text: str) -> int | None:
    try:
        return read(text)
    except OursError:
        return 0


def partial(text: str) -> int:
    return int(text.strip()[:1] or "0")


@pytest.mark.parametrize("wrong", [foreign, silent, partial])
def test_a_wrong_reader_is_seen(wrong: Any) -> None:
    with pytest.raises(WrongError, match="number, seed 0, input"):
        play(reader(wrong), range(400))


def test_a_planted_bug_is_caught() -> None:
    assert caught(reader(read), "wrong") == 1


def test_a_bug_that_changes_nothing_is_not_caught() -> None:
    harmless = Reader("number", render, read, DAMAGES, {"harmless": read})
    assert caught(harmless, "harmless", most=100) == 0

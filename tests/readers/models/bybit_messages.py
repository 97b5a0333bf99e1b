"""Bybit's private messages: one row that cannot be read is named, and keeps no other from being taken."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

from tests.readers.bybit_rows import ROWS, Row, execution, noise, order
from tests.readers.campaign import Damage, Reader

from quietcore.venues.bybit import private
from quietcore.venues.interface import NotUnderstood

# private messages


def message(chance: random.Random) -> tuple[bytes, list[Any]]:
    """Return a message of the private stream and its events."""
    kind = chance.randrange(8)
    if kind == 0:
        text = chance.choice(('{"op":"pong"}', '{"success":true,"op":"subscribe"}', '{"topic":null}', "{}"))
        return text.encode(), []
    if kind == 1:
        topic = chance.choice(("wallet", "position", "greeks", "dcp.future", "order2"))
        return json.dumps({"topic": topic, "data": [{}, None, 5]}).encode(), []
    topic = chance.choice(("order", "order.linear", "execution", "execution.linear"))
    make: Any = order if topic.startswith("order") else execution
    made = [make(chance, number) for number in range(chance.randint(0, 4))]
    words = {"id": "x", "topic": topic, "creationTime": 1, "data": [row for row, _ in made]}
    text = json.dumps(noise(chance, words), ensure_ascii=chance.random() < 0.5)
    return text.encode(), [truth for _, truth in made if truth is not None]


def read_message(text: bytes) -> list[Any]:
    """As `PrivateLink` does."""
    events, skipped = private.parse(text)
    if skipped != sum(isinstance(event, NotUnderstood) for event in events):
        raise AssertionError(f"{skipped} of {events}")
    return list(events)


def one_strange(events: Any) -> bool:
    """Return whether one row, and one alone, was not understood, while the others were taken."""
    strange = [event for event in events if isinstance(event, NotUnderstood)]
    return len(strange) == 1 and bool(strange[0].what)


def strange_row(change: Callable[[random.Random, Row], None]) -> Callable[..., Any]:
    """Return a damage: one row of a message that is changed for the worse."""

    def apply(chance: random.Random, text: bytes) -> bytes | None:
        words = json.loads(text)
        rows_ = words.get("data") if isinstance(words, dict) else None
        if (
            not rows_
            or words["topic"].split(".")[0] not in ("order", "execution")
            or words["topic"] == "order2"
        ):
            return None
        own = [row for row in rows_ if row.get("execType") != "Funding"]
        if not own:
            return None
        change(chance, chance.choice(own))
        return json.dumps(words).encode()

    return apply


# planted bugs


def skips_a_bad_row(text: bytes) -> list[Any]:
    """Leave out silently what cannot be read."""
    return [event for event in read_message(text) if not isinstance(event, NotUnderstood)]


def bad_row_ends_it(text: bytes) -> list[Any]:
    """Take nothing of a message that has one bad row."""
    events = read_message(text)
    return [] if any(isinstance(event, NotUnderstood) for event in events) else events[:1]


READERS = [
    Reader(
        "Bybit private message",
        message,
        read_message,
        {name: Damage(strange_row(change), one_strange) for name, change in ROWS.items()}
        | {
            "no JSON": Damage(
                lambda chance, text: chance.choice((b"", b"{", b"x", b"\xff", b"[1]", b"5", text[:-1])),
                one_strange,
            ),
            "rows that are no list": Damage(
                lambda chance, text: json.dumps(
                    {
                        "topic": chance.choice(("order", "execution")),
                        "data": chance.choice((None, {}, "x", 5)),
                    }
                ).encode(),
                one_strange,
            ),
            "a topic that is no text": Damage(
                lambda chance, text: json.dumps(
                    {"topic": chance.choice((5, [], {}, True)), "data": []}
                ).encode(),
                one_strange,
            ),
        },
        {"a bad row is left out": skips_a_bad_row, "a bad row ends it": bad_row_ends_it},
    ),
]

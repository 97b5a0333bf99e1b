"""What books take in memory, and that 2,048 of them stay within bounds however many messages come."""

from __future__ import annotations

from collections.abc import Iterator

from results import Result
from worker import Worker

SYMBOLS = 2048
DEPTH = 200
MOST_BOOK_KIB = 64.0
MOST_RESIDENT_MIB = 512.0
MOST_GROWTH = 1.01
"""The resident size moves by some pages whatever a program does."""


def measure(native: Worker, messages: int) -> Iterator[Result]:
    """Yield the size of a book, the resident size at the end, and its ratio to that after a hundred rounds."""
    answer = native.block("memory", str(messages), 0)
    facts = {"messages": int(answer["operations"])}
    yield Result(
        name=f"windowed book and its table entry, depth {DEPTH}",
        value=answer["book_bytes"] / 1024,
        unit="KiB",
        goal=MOST_BOOK_KIB,
        limit=True,
    )
    yield Result(name="deep book, 5,000 levels a side", value=answer["deep_book_bytes"] / 1024, unit="KiB")
    yield Result(
        name=f"resident, {SYMBOLS:,} symbols",
        value=answer["resident_kib"] / 1024,
        unit="MiB",
        goal=MOST_RESIDENT_MIB,
        limit=True,
        facts=facts,
    )
    yield Result(
        name=f"resident after {facts['messages']:.3g} messages / after 100 a symbol",
        value=answer["resident_kib"] / answer["settled_kib"],
        unit="",
        goal=MOST_GROWTH,
        limit=True,
        facts=facts,
    )

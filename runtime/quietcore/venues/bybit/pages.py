"""Lists that come in pages: read to their end, or not at all.

A cursor is sent back until the venue gives none, or repeats one with nothing new; so lists end whatever stands in the
last cursor. A page that repeats an earlier cursor with rows that are new would go on for ever, and is refused, as are
more than `MOST_PAGES`. A row that stands on two pages, because the list moved meanwhile, counts once, as read last.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from quietcore.venues.interface import UncertainError

MOST_PAGES = 100

Fetch = Callable[[dict[str, str]], Awaitable[Any]]
Key = Callable[[Any], object]


def page(result: object, path: str) -> tuple[list[Any], str]:
    """Return the rows of one answer, and its cursor. Raises UncertainError."""
    rows = result.get("list") if isinstance(result, dict) else None
    if not isinstance(rows, list):
        raise UncertainError(f"{path} answers without a list")
    cursor = result.get("nextPageCursor") if isinstance(result, dict) else None
    if cursor is not None and not isinstance(cursor, str):
        raise UncertainError(f"{path} answers with a cursor that is no text: {cursor!r}")
    return rows, cursor or ""


async def all_rows(fetch: Fetch, path: str, query: Mapping[str, str], key: Key) -> list[Any]:
    """Return every row, in the venue's order. ``key``: what tells two rows apart. Raises UncertainError."""
    found: dict[object, Any] = {}
    seen: set[str] = set()
    cursor = ""
    for _ in range(MOST_PAGES):
        rows, following = page(await fetch({**query, "cursor": cursor} if cursor else dict(query)), path)
        before = len(found)
        for row in rows:
            found[key(row)] = row
        if not following or (following in seen and len(found) == before):
            return list(found.values())
        if following in seen:
            raise UncertainError(f"{path} repeats a page: cursor {following!r}")
        seen.add(following)
        cursor = following
    raise UncertainError(f"{path} has more than {MOST_PAGES} pages")


def row_key(*fields: str) -> Key:
    """Return a key of these fields; a row that has none of them is told from all others."""

    def key(row: Any) -> object:
        values = tuple(row.get(field) for field in fields) if isinstance(row, dict) else ()
        if all(isinstance(value, (str, int)) and value != "" for value in values) and values:
            return values
        return object()

    return key


ORDER_KEY, EXECUTION_KEY = row_key("orderId"), row_key("orderId", "execId")
POSITION_KEY = row_key("symbol", "positionIdx")
SYMBOL_KEY = row_key("symbol")

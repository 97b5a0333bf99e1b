"""Cursors of paged lists, in the forms that the venue gives them: percent-encoded already, whatever they hold.

A client sends one back as it got it, and signs what it sends: `132766%3A2%2C132766%3A2` comes as
`cursor=132766%3A2%2C132766%3A2`. One who encodes it once more is understood too, as long as the signature is over the
bytes that were sent. Examples: bybit-exchange.github.io/docs/v5/order/execution, /order/open-order, /order/order-list.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote, unquote

from quietcore.sim.refusal import Reject

Item = TypeVar("Item")
MOST_ENCODINGS = 4


class Form(NamedTuple):
    """One list's cursors: how they are written for a key, and how the key is read from one."""

    write: Callable[[str], str]
    pattern: re.Pattern[str]

    def encode(self, key: str) -> str:
        """Return the cursor of what follows `key`."""
        return quote(self.write(key), safe="")

    def decode(self, cursor: str) -> str:
        """Return the key of a cursor; raise Reject."""
        text = cursor
        for _ in range(MOST_ENCODINGS):
            found = self.pattern.fullmatch(text)
            if found is not None:
                return found[1]
            text = unquote(text)
        raise Reject(10001, "params error: cursor invalid")


LIVE_ORDERS = Form(lambda key: f"page_args={key}&symbol=6&", re.compile(r"page_args=([^&]+)&symbol=6&"))
ORDER_HISTORY = Form(lambda key: f"page_token={key}&", re.compile(r"page_token=([^&]+)&"))
EXECUTIONS = Form(lambda key: f"{key}:2,{key}:2", re.compile(r"([0-9]{12,}):2,[0-9]+:2"))
POSITIONS = Form(lambda key: key, re.compile(r"([^,]+,[0-9]+,[0-9])"))


def page(
    items: Sequence[Item],
    key: Callable[[Item], str],
    form: Form,
    *,
    limit: int,
    cursor: object,
    always: bool = False,
    ordered: bool = True,
) -> tuple[Sequence[Item], str]:
    """Return the page of `items` after `cursor`, and the next cursor.

    Where the items are `ordered` by `key`, the highest first, a page is found though the item that its cursor names has
    left the list. There is a next cursor after each full page, though nothing may follow; with `always` after each page
    that is not empty, as the venue does for positions.
    """
    start = 0
    if cursor not in (None, ""):
        wanted = form.decode(str(cursor))
        places = [place for place, item in enumerate(items) if key(item) == wanted]
        if places:
            start = places[0] + 1
        elif not ordered:
            raise Reject(10001, "params error: cursor invalid")
        else:
            start = next((place for place, item in enumerate(items) if key(item) < wanted), len(items))
    found = items[start : start + limit]
    if found and (always or len(found) == limit):
        return found, form.encode(key(found[-1]))
    return found, ""


def rows(found: Sequence[Item], show: Callable[[Item], dict[str, Any]], cursor: str) -> dict[str, Any]:
    """Return a page in the form of the venue's lists."""
    return {"category": "linear", "list": [show(item) for item in found], "nextPageCursor": cursor}

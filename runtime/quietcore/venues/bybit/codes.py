"""Bybit's codes: what each means, whether it will pass, and what to do about it. The one table of them.

A code of the table that is not uncertain refuses for certain. One that is not in the table is uncertain: the venue may
have taken the order before it failed, so the order is asked for.

Sources: bybit-exchange.github.io/docs/v5/error, /docs/v5/rate-limit, /docs/v5/websocket/trade/guideline.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from quietcore.venues.interface import Nature, RefusedError, Trouble, UncertainError

ACCESS, PASSING, REQUEST = Nature.ACCESS, Nature.PASSING, Nature.REQUEST
SHOWN = 200  # characters of a venue's text that a message keeps


class Meaning(NamedTuple):
    """``text``: what the code says; ``uncertain``: whether the request may have had an effect."""

    text: str
    nature: Nature
    remedy: str = ""
    uncertain: bool = False


KEY = "check key and domain: a key is bound to its region and to testnet or mainnet"
RIGHTS = "allow the key to read and to trade contracts, in the venue's key management"
CLOCK = "synchronise this host's clock (chrony)"
LATER = "none: it is tried again"
SLOWER = "send less: lower risk.max_order_rate, or use an address of its own"
SUPPORT = "ask the venue's support"
BALANCE = "lower risk.order_size, or bring funds to the account"
STEPS = "compare order size and price with the instrument's rules"

# https://bybit-exchange.github.io/docs/v5/error
CODES: dict[int, Meaning] = {
    -1: Meaning("request expired before it was handled", ACCESS, CLOCK),
    -2015: Meaning("the key has expired", ACCESS, "make a new key"),
    429: Meaning("the trading service is overloaded", PASSING, LATER, uncertain=True),
    10000: Meaning("the venue's server timed out", PASSING, LATER, uncertain=True),
    10001: Meaning(
        "a parameter is not accepted", REQUEST, "see the venue's text; position mode must be one-way"
    ),
    10002: Meaning("the time stamp is outside the venue's window", ACCESS, CLOCK),
    10003: Meaning("the key is not known here", ACCESS, KEY),
    10004: Meaning("the signature does not match", ACCESS, "check the secret"),
    10005: Meaning("the key lacks a right", ACCESS, RIGHTS),
    10006: Meaning("too many requests of this account", PASSING, SLOWER),
    10007: Meaning("authentication failed", ACCESS, KEY),
    10008: Meaning("the account is banned", ACCESS, SUPPORT),
    10009: Meaning("this address is banned", ACCESS, SUPPORT),
    10010: Meaning("this address may not use the key", ACCESS, "allow this host's address for the key"),
    10014: Meaning("a request of this id has arrived already", REQUEST, uncertain=True),
    10016: Meaning("the venue's server failed, or restarts", PASSING, LATER, uncertain=True),
    10017: Meaning("the venue has no such path", ACCESS, "check venue.rest"),
    10018: Meaning("too many requests from this address", PASSING, SLOWER),
    10019: Meaning("order entry restarts", PASSING, LATER, uncertain=True),
    10024: Meaning("the venue's compliance rules forbid it", ACCESS, SUPPORT),
    10027: Meaning("the account may not trade", ACCESS, SUPPORT),
    10028: Meaning("a unified account is needed", ACCESS, "upgrade the account to a unified one"),
    10029: Meaning("the key may not use this symbol", ACCESS, "allow the symbol for the key"),
    10403: Meaning("this connection is not authenticated", PASSING, LATER),
    10404: Meaning("the venue has no such operation or category", ACCESS, "check venue.name"),
    10429: Meaning("the venue protects itself from too many requests", PASSING, SLOWER),
    20003: Meaning("too many requests of one connection", PASSING, SLOWER),
    20006: Meaning("a request of this id has arrived already", REQUEST, uncertain=True),
    33004: Meaning("the key has expired", ACCESS, "make a new key"),
    110001: Meaning("no such order", REQUEST),
    110003: Meaning("the price is outside the permitted range", REQUEST, "narrow risk.price_band"),
    110004: Meaning("not enough balance", REQUEST, BALANCE),
    110006: Meaning("not enough margin", REQUEST, BALANCE),
    110007: Meaning("not enough available balance", REQUEST, BALANCE),
    110008: Meaning("the order is done or cancelled", REQUEST),
    110010: Meaning("the order is cancelled already", REQUEST),
    110012: Meaning("not enough available balance", REQUEST, BALANCE),
    110013: Meaning("the risk limit forbids the leverage", REQUEST, "lower the leverage"),
    110016: Meaning("the risk limit is exceeded", REQUEST, "lower risk.max_position"),
    110017: Meaning("a reduce-only order would not reduce the position", REQUEST),
    110020: Meaning("500 orders are open", REQUEST, "cancel some"),
    110021: Meaning("the venue's open interest is exceeded", REQUEST, LATER),
    110023: Meaning("the contract can only be closed", REQUEST, "trade another symbol"),
    110030: Meaning("an order of this id exists", REQUEST, uncertain=True),
    110042: Meaning("before its delivery a contract can only be closed", REQUEST, "trade another symbol"),
    110045: Meaning("not enough balance", REQUEST, BALANCE),
    110051: Meaning("not enough balance for the lowest price", REQUEST, BALANCE),
    110052: Meaning("not enough balance for the price", REQUEST, BALANCE),
    110062: Meaning("settlement goes on", PASSING, LATER),
    110065: Meaning("no trading at this time", PASSING, LATER),
    110072: Meaning("an order of this link id exists", REQUEST, uncertain=True),
    110094: Meaning("the order is worth less than the venue's least", REQUEST, "raise risk.order_size"),
    170007: Meaning("the venue's server timed out", PASSING, LATER, uncertain=True),
    170131: Meaning("not enough balance", REQUEST, BALANCE),
    170136: Meaning("the quantity is below the venue's least", REQUEST, "raise risk.order_size"),
    170140: Meaning("the order is worth less than the venue's least", REQUEST, "raise risk.order_size"),
    170141: Meaning("an order of this link id exists", REQUEST, uncertain=True),
    170146: Meaning("the venue's server timed out", PASSING, LATER, uncertain=True),
    170147: Meaning("the venue's server timed out", PASSING, LATER, uncertain=True),
    170213: Meaning("no such order", REQUEST),
    170218: Meaning("a post-only order would take liquidity", REQUEST),
}
# Families in which the venue documents refusals of single requests: of contracts, of spot.
FAMILIES = (range(110_000, 111_000), range(170_000, 171_000))
UNCERTAIN_CODES = frozenset(code for code, meaning in CODES.items() if meaning.uncertain)

HTTP: dict[int, Meaning] = {
    400: Meaning("the request is malformed", REQUEST, "check venue.rest"),
    401: Meaning("the key is refused", ACCESS, KEY),
    403: Meaning(
        "this address is shut out: too many requests, or a country that the venue does not serve",
        PASSING,
        "wait, send less, or use the hosts of the account's region",
    ),
    404: Meaning("the venue has no such path", ACCESS, "check venue.rest, and the account's mode"),
    407: Meaning("a proxy wants authentication", ACCESS, "check the network"),
    408: Meaning("the request did not arrive in time", PASSING, LATER, uncertain=True),
    418: Meaning("this address is shut out: too many requests", PASSING, SLOWER),
    429: Meaning("too many requests", PASSING, SLOWER),
    451: Meaning("the venue does not serve this place", ACCESS, "use the hosts of the account's region"),
}
OVERLOADED = Meaning("the venue's server failed", PASSING, LATER, uncertain=True)
NOT_READABLE = Meaning(
    "the answer cannot be read", PASSING, "check venue.rest and the network", uncertain=True
)
MOVED = Meaning(
    "the address has moved, and signed requests are not sent elsewhere", ACCESS, "correct venue.rest"
)
NO_CONNECTION = Meaning("no connection", PASSING, "check venue.rest and the network")
UNKNOWN_CODE = Meaning(
    "a code that is not known here", PASSING, "see the venue's list of codes", uncertain=True
)

_TAGS = re.compile(r"<(?:style|script)\b.*?</(?:style|script)>|<[^>]*>", re.DOTALL | re.IGNORECASE)
_CODE_IN_TEXT = re.compile(r"(?<![0-9])([0-9]{3,6})(?![0-9])")


def meaning_of(code: int) -> Meaning:
    """Return what a retCode means."""
    found = CODES.get(code)
    if found is not None:
        return found
    if any(code in family for family in FAMILIES):
        return Meaning("the venue refuses this request", REQUEST, STEPS)
    return UNKNOWN_CODE


def meaning_of_status(status: int) -> Meaning:
    """Return what an HTTP status means whose body is no answer of the venue's service."""
    if 300 <= status < 400:
        return MOVED
    if status >= 500:
        return OVERLOADED
    if status in HTTP:
        return HTTP[status]
    return Meaning("the request is refused", ACCESS, "check venue.rest") if status >= 400 else NOT_READABLE


def trouble(found: str, meaning: Meaning, wait: float = 0.0) -> Trouble:
    """Return a refusal in the gateway's words."""
    return Trouble(found.strip(), meaning.text, meaning.nature, meaning.remedy, wait)


def failure(
    code: int, text: str, meaning: Meaning, written_ns: int, wait: float = 0.0
) -> RefusedError | UncertainError:
    """Return the error for an answer that is no success."""
    text = plain_text(text)
    found = trouble(f"{code} {text}", meaning, wait)
    if meaning.uncertain:
        return UncertainError(found.found, written_ns, found)
    return RefusedError(code, text, written_ns, found)


def plain_text(text: str) -> str:
    """Return a venue's text, which may be a web page, as one line without tags and control characters.

    >>> plain_text("<html><style>b {}</style><h1>403 Forbidden</h1>\\\\n</html>")
    '403 Forbidden'
    """
    words = _TAGS.sub(" ", text[: 16 * SHOWN])
    line = " ".join("".join(one if one.isprintable() else " " for one in words).split())
    return line if len(line) <= SHOWN else f"{line[:SHOWN]}…"


def stream_trouble(operation: str, answer: object) -> Trouble:
    """Return why a stream's ``auth`` or ``subscribe`` was refused; its answers carry a code or words that hold one."""
    words = answer if isinstance(answer, dict) else {}
    text = plain_text(str(words.get("ret_msg") or words.get("retMsg") or ""))
    code = words.get("retCode", words.get("ret_code"))
    known = [int(one) for one in _CODE_IN_TEXT.findall(text) if int(one) in CODES]
    number = code if isinstance(code, int) and code else known[0] if known else 0
    if number:
        meaning = meaning_of(number)
        text = text if str(number) in text else f"{number} {text}".strip()
    elif operation == "auth":
        meaning = Meaning("", ACCESS, "check key, secret and domain, and this host's clock (chrony)")
    else:
        meaning = Meaning("", ACCESS, RIGHTS)
    return trouble(f"{operation} refused: {text}", meaning)

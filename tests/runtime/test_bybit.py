"""Bybit's protocol: signatures, the meaning of answers, and what is made of malformed ones."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from tests.runtime.fake_venue import INSTRUMENT

from quietcore.errors import QuietcoreError
from quietcore.venues.bybit import private, rest, signing, venue
from quietcore.venues.interface import (
    Credentials,
    Endpoints,
    Fate,
    Fill,
    NotUnderstood,
    OrderUpdate,
    RefusedError,
    UncertainError,
)
from quietcore.venues.registry import order_venue


def test_signature_covers_timestamp_key_window_and_payload() -> None:
    # printf '%s' '1700000000000key5000{"a":1}' | openssl dgst -sha256 -hmac secret
    headers = signing.headers(Credentials("key", b"secret"), 1_700_000_000_000, '{"a":1}')
    assert headers == {
        "X-BAPI-API-KEY": "key",
        "X-BAPI-TIMESTAMP": "1700000000000",
        "X-BAPI-RECV-WINDOW": "5000",
        "X-BAPI-SIGN": "13e536de6f7ec55159302c32ca3a8f44bbae7bbc3b4df0ebd795966e34943ed8",
    }


def test_signature_of_the_private_stream() -> None:
    # printf '%s' 'GET/realtime1700000000000' | openssl dgst -sha256 -hmac secret
    words = signing.stream_authentication(Credentials("key", b"secret"), 1_700_000_000_000)
    assert words == [
        "key",
        1_700_000_000_000,
        "9baf584ddf7a063dffe910d97ce4eac0cf7064058356de8b8d92f028e5ad936f",
    ]


def test_credentials_do_not_print() -> None:
    text = f"{Credentials('key-text', b'secret-text')!r} {Credentials('key-text', b'secret-text')}"
    assert "text" not in text


def envelope(code: int, text: str = "OK") -> bytes:
    return json.dumps({"retCode": code, "retMsg": text, "result": {"orderId": "x"}}).encode()


def test_answers() -> None:
    assert rest.judge(200, envelope(0), 5) == ({"orderId": "x"}, 5)
    for code in (10001, 10002, 10003, 10004, 10006, 110001, 110007, 110094):
        with pytest.raises(RefusedError) as refused:
            rest.judge(200, envelope(code, "no"), 5)
        assert (refused.value.code, refused.value.written_ns) == (code, 5)
    for code in (10000, 10014, 10016, 110072):
        with pytest.raises(UncertainError) as uncertain:
            rest.judge(200, envelope(code), 5)
        assert uncertain.value.written_ns == 5
    with pytest.raises(UncertainError):
        rest.judge(500, envelope(110007), 5)
    with pytest.raises(RefusedError, match="HTTP 403"):
        rest.judge(403, b"<html>", 5)
    for status, content in ((200, b"<html>"), (502, b""), (200, b"{}"), (200, b'{"retCode":"0"}')):
        with pytest.raises(UncertainError, match="readable"):
            rest.judge(status, content, 5)


@pytest.mark.parametrize("result", [None, {}, {"orderId": ""}, {"orderId": 5}, []])
def test_acknowledgement_without_an_order_is_uncertain(result: Any) -> None:
    with pytest.raises(UncertainError, match="orderId"):
        venue.order_id(result, 1)


ORDER = {"orderId": "x", "orderLinkId": "run-0", "orderStatus": "PartiallyFilled", "cumExecQty": "0.004"}
EXECUTION = {
    "orderId": "x",
    "orderLinkId": "",
    "execId": "e",
    "execQty": "0.004",
    "execPrice": "1000.5",
    "execType": "Trade",
}


def message(topic: str, *entries: Any) -> str:
    return json.dumps({"topic": topic, "data": list(entries)})


def test_private_messages() -> None:
    events, skipped = private.parse(message("order", ORDER))
    assert events == [OrderUpdate("run-0", "x", Fate.PARTIALLY_FILLED, Decimal("0.004"), "")]
    assert skipped == 0
    events, skipped = private.parse(message("execution", EXECUTION, {**EXECUTION, "execType": "Funding"}))
    assert events == [Fill("", "x", "e", Decimal("0.004"), Decimal("1000.5"))]
    assert skipped == 0, "a funding payment is no trade, and no mistake"
    assert private.parse('{"op":"pong"}') == ([], 0)
    assert private.parse(message("wallet", {})) == ([], 0)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no json",
        "[]",
        "5",
        message("order", {**ORDER, "orderStatus": "Dreaming"}),
        message("order", {"orderStatus": "New"}),
        message("order", None),
        message("order", {**ORDER, "cumExecQty": "many"}),
        message("execution", {**EXECUTION, "execQty": "x"}),
        message("execution", 5),
    ],
)
def test_malformed_private_messages_are_counted(text: str) -> None:
    events, skipped = private.parse(text)
    assert [type(event) for event in events] == [NotUnderstood]
    assert skipped == 1


def test_instrument_rules() -> None:
    rules = venue.instrument(INSTRUMENT, "here")
    assert (rules.tick_size, rules.lot_size, rules.min_quantity) == (
        Decimal("0.1"),
        Decimal("0.001"),
        Decimal("0.001"),
    )
    damages: list[dict[str, Any]] = [
        {"priceFilter": {}},
        {"lotSizeFilter": None},
        {"priceFilter": {"tickSize": "0"}},
    ]
    for damage in damages:
        with pytest.raises(QuietcoreError, match="cannot be understood"):
            venue.instrument({**INSTRUMENT, **damage}, "here")


def test_unknown_venue_names_what_there_is() -> None:
    where = "x.toml: venue.name"
    with pytest.raises(QuietcoreError, match="found 'kraken'; expected one of bybit-linear") as raised:
        order_venue("kraken", Endpoints("http://h", "ws://h"), Credentials("k", b"s"), where)
    assert where in raised.value.message()

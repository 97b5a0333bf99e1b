"""The REST client against a local server: what is asked again, what never is, and the rate that is kept."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from tests.runtime.delayed_venue import ADDRESSES, CREDENTIALS, ORDER, DelayedVenue, run, until

from quietcore.venues.bybit import BybitHTTPClient
from quietcore.venues.interface import RefusedError, UncertainError


def ok(result: Any = None) -> tuple[int, dict[str, Any], dict[str, str]]:
    return 200, {"retCode": 0, "retMsg": "OK", "result": result or {}}, {}


def code(number: int, **headers: str) -> tuple[int, dict[str, Any], dict[str, str]]:
    return 200, {"retCode": number, "retMsg": "no", "result": {}}, headers


def test_questions_are_asked_again_and_commands_never(tmp_path: Path) -> None:
    async def work() -> None:
        async with DelayedVenue(tmp_path, ADDRESSES[:1], tls=False) as venue:
            site = venue.sites["127.0.0.2"]
            async with BybitHTTPClient(venue.url("http", "127.0.0.2"), CREDENTIALS) as http:
                site.answers = [code(10016), (502, {}, {}), ok({"list": [{"orderId": "1"}]})]
                assert await http.open_orders(symbol="BTCUSDT") == [{"orderId": "1"}]
                assert len(site.requests) == 3
                for answer, error in (
                    (code(10016), UncertainError),
                    ((502, {}, {}), UncertainError),
                    (code(10006), RefusedError),
                    (code(10002), RefusedError),
                    (code(110072), UncertainError),
                    (code(110007), RefusedError),
                ):
                    site.requests.clear()
                    site.answers = [answer]
                    with pytest.raises(error):
                        await http.place_order(**ORDER, orderLinkId="a-1")
                    assert len(site.requests) == 1, "an order goes out once"
                site.answers = []
                assert (await http.place_order(**ORDER, orderLinkId="a-2"))["orderId"] == "rest-a-2"
                sent = site.requests[-1][2]
                assert sent == {"category": "linear", **ORDER, "orderLinkId": "a-2"}
                assert http.limits["/v5/order/create"][:2] == (10, 7)

    run(work())


def test_a_question_stops_at_three_and_at_once_where_it_is_refused(tmp_path: Path) -> None:
    async def work() -> None:
        async with DelayedVenue(tmp_path, ADDRESSES[:1], tls=False) as venue:
            site = venue.sites["127.0.0.2"]
            async with BybitHTTPClient(venue.url("http", "127.0.0.2"), CREDENTIALS) as http:
                site.answers = [code(10016)] * 4
                with pytest.raises(UncertainError):
                    await http.positions(symbol="BTCUSDT")
                assert len(site.requests) == 3
                site.requests.clear()
                site.answers = [code(10003)]
                with pytest.raises(RefusedError):
                    await http.positions(symbol="BTCUSDT")
                assert len(site.requests) == 1

    run(work())


def test_the_rate_is_waited_for_and_the_clock_compared(tmp_path: Path) -> None:
    async def work() -> None:
        async with DelayedVenue(tmp_path, ADDRESSES[:1], tls=False) as venue:
            site = venue.sites["127.0.0.2"]
            async with BybitHTTPClient(venue.url("http", "127.0.0.2"), CREDENTIALS) as http:
                reset = time.time() + 0.5
                headers = {
                    "X-Bapi-Limit": "10",
                    "X-Bapi-Limit-Status": "0",
                    "X-Bapi-Limit-Reset-Timestamp": str(int(reset * 1000)),
                }
                site.answers = [code(10006, **headers), ok({"list": []})]
                await http.executions(symbol="BTCUSDT")
                assert time.time() >= reset - 0.01
                ahead = time.time_ns() + 30_000_000_000
                site.answers = [code(10002), ok({"timeNano": str(ahead)}), ok({"list": []})]
                await http.executions(symbol="BTCUSDT")
                assert 25_000 < http.clock_offset_ms < 31_000

    run(work())


def test_instruments_of_all_pages_and_batches_within_bounds(tmp_path: Path) -> None:
    async def work() -> None:
        async with DelayedVenue(tmp_path, ADDRESSES[:1], tls=False) as venue:
            site = venue.sites["127.0.0.2"]
            async with BybitHTTPClient(venue.url("http", "127.0.0.2"), CREDENTIALS) as http:
                page = [{"symbol": f"S{i}"} for i in range(3)]
                site.answers = [ok({"list": page[:2], "nextPageCursor": "x"}), ok({"list": page[2:]})]
                assert await http.instruments() == page
                assert site.requests[1][2]["cursor"] == "x"
                orders = [{**ORDER, "orderLinkId": f"b-{i}"} for i in range(21)]
                with pytest.raises(ValueError, match="expected 1 to 20"):
                    await http.place_batch(orders)
                with pytest.raises(ValueError, match="orderLinkId"):
                    await http.place_batch([ORDER])
                with pytest.raises(ValueError, match="orderLinkId"):
                    await http.place_order(**ORDER)
                await http.place_batch(orders[:20])
                assert len(site.requests[-1][2]["request"]) == 20

    run(work())


def test_requests_in_flight_end_where_they_began(tmp_path: Path) -> None:
    async def work() -> None:
        async with DelayedVenue(tmp_path, ADDRESSES, tls=False) as venue:
            venue.sites["127.0.0.2"].delay = 0.2
            async with BybitHTTPClient(venue.url("http", "127.0.0.2"), CREDENTIALS) as http:
                placing = asyncio.create_task(http.place_order(**ORDER, orderLinkId="slow"))
                await until(lambda: venue.sites["127.0.0.2"].requests)
                await http.switch_endpoint(venue.url("http", "127.0.0.3"))
                assert http.endpoint == venue.url("http", "127.0.0.3")
                await http.cancel_order(symbol="BTCUSDT", orderLinkId="other")
                assert not placing.done()
                assert (await placing)["orderId"] == "rest-slow"
                assert [path for _, path, _ in venue.sites["127.0.0.3"].requests] == [
                    "/v5/market/time",
                    "/v5/order/cancel",
                ]

    run(work())

"""Venue clients against local TLS servers: subscriptions that survive, requests that are never doubled."""

from __future__ import annotations

import asyncio
import itertools
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.runtime.delayed_venue import (
    ADDRESSES,
    CREDENTIALS,
    HOST,
    KEY,
    ORDER,
    DelayedVenue,
    Site,
    run,
    until,
)

from quietcore.errors import QuietcoreError
from quietcore.scout import DynamicAPIScouter
from quietcore.venues.bybit import (
    BybitHTTPClient,
    BybitOrderEntry,
    BybitPrivateWebSocket,
    BybitPublicWebSocket,
    BybitTradeWebSocket,
)
from quietcore.venues.bybit.private import BybitPrivateStream
from quietcore.venues.bybit.stream import Message
from quietcore.venues.bybit.trade_link import NotSentError
from quietcore.venues.interface import (
    Credentials,
    Endpoints,
    RefusedError,
    StreamDown,
    StreamUp,
    UncertainError,
)
from quietcore.venues.registry import targets_of_urls

TOPICS = ["orderbook.50.BTCUSDT", "publicTrade.BTCUSDT"]


class Feed:
    """Takes a stream's messages as they come, and publishes at both sites."""

    def __init__(self, stream: Any) -> None:
        self.messages: list[Message] = []
        self._task = asyncio.create_task(self._take(stream))

    async def _take(self, stream: Any) -> None:
        async for message in stream.messages():
            self.messages.append(message)

    def from_site(self, address: str) -> list[int]:
        return [one.content["data"]["n"] for one in self.messages if one.content["data"]["at"] == address]


def is_at(stream: BybitPublicWebSocket, address: str) -> bool:
    state = stream.socket_state()
    return state is not None and state.peer == address


def reconnected(stream: BybitPublicWebSocket, times: int) -> bool:
    return stream.reconnects == times


async def heard(feed: Feed, site: Site) -> None:
    """Publish at a site until the feed hears of it."""
    before = len(feed.from_site(site.address))

    async def some() -> bool:
        await site.publish(TOPICS[0])
        await asyncio.sleep(0.01)
        return len(feed.from_site(site.address)) > before

    end = time.monotonic() + 20
    while not await some():
        assert time.monotonic() < end


def test_switch_is_made_before_the_break_and_loses_nothing(tmp_path: Path) -> None:
    async def work() -> None:
        async with DelayedVenue(tmp_path, ADDRESSES) as venue:
            pins = {HOST: "127.0.0.2"}
            first, second = venue.sites["127.0.0.2"], venue.sites["127.0.0.3"]
            stream = BybitPublicWebSocket(venue.url("ws"), tls_ca=str(venue.ca), pins=pins)
            async with stream:
                feed = Feed(stream)
                await stream.subscribe(TOPICS)
                await heard(feed, first)
                # Slow to answer: meanwhile the old connection must go on.
                second.delay = 0.1
                pins[HOST] = "127.0.0.3"
                switching = asyncio.create_task(stream.switch_endpoint(venue.url("ws")))
                while not switching.done():
                    await first.publish(TOPICS[0])
                    await second.publish(TOPICS[0])
                    await asyncio.sleep(0.01)
                took = await switching
                assert 0.2 <= took < 5.0
                await until(lambda: not first.sockets)
                await heard(feed, second)
                old = feed.from_site("127.0.0.2")
                assert old == list(range(old[0], old[-1] + 1)), "nothing was lost up to the switch"
                assert len(old) > 3
                new = feed.from_site("127.0.0.3")
                assert new == list(range(new[0], new[-1] + 1)), (
                    "what came before the switch was held, not lost"
                )
                assert second.subscribed == [TOPICS]
                numbers = [message.connection for message in feed.messages]
                assert numbers == sorted(numbers), "no message of the old one after the new one's"
                assert stream.switches == 1
                assert stream.socket_state().peer == "127.0.0.3"  # type: ignore[union-attr]

    run(work())


def test_scouter_and_stream_go_over_within_half_a_second(tmp_path: Path) -> None:
    """From the election to the subscribed connection, over TLS on loopback; 500 ms is what is promised."""

    async def work() -> None:
        async with DelayedVenue(tmp_path, ("127.0.0.2", "127.0.0.3", "127.0.0.4"), 0.06) as venue:
            venue.sites["127.0.0.2"].delay = 0.0
            scouter = DynamicAPIScouter(
                0.05,
                0.1,
                targets=targets_of_urls("bybit-linear", [venue.url("ws"), venue.url("http")]),
                tls_ca=str(venue.ca),
                resolve=venue.resolve,
            )
            took: list[float] = []
            await scouter.start()
            stream = BybitPublicWebSocket(venue.url("ws"), tls_ca=str(venue.ca), pins=scouter.pins)
            async with (
                stream,
                BybitHTTPClient(venue.url("http"), tls_ca=str(venue.ca), pins=scouter.pins) as http,
            ):
                await stream.subscribe(TOPICS)

                async def changed(websocket: str, rest: str) -> None:
                    begin = time.perf_counter()
                    await asyncio.gather(stream.switch_endpoint(websocket), http.switch_endpoint(rest))
                    took.append(time.perf_counter() - begin)

                scouter.set_endpoint_change_callback(changed)
                for slow, fast in (("127.0.0.2", "127.0.0.3"), ("127.0.0.3", "127.0.0.4")):
                    venue.sites[fast].delay, venue.sites[slow].delay = 0.0, 0.12
                    await until(partial(is_at, stream, fast), 60)
                # The stream is there before REST is, and the callback ends with both.
                await until(lambda: len(took) >= 2, 60)
                await scouter.stop()
            assert scouter.problems == []
            assert len(took) >= 2
            assert min(took) < 0.5
            print(f"switches took {', '.join(f'{one * 1000:.0f} ms' for one in took)}")

    run(work())


def test_a_new_endpoint_that_does_not_answer_changes_nothing(tmp_path: Path) -> None:
    async def work() -> None:
        async with DelayedVenue(tmp_path, ADDRESSES) as venue:
            pins = {HOST: "127.0.0.2"}
            stream = BybitPublicWebSocket(venue.url("ws"), tls_ca=str(venue.ca), pins=pins)
            async with stream, BybitHTTPClient(venue.url("http"), tls_ca=str(venue.ca), pins=pins) as http:
                feed = Feed(stream)
                await stream.subscribe(TOPICS)
                venue.sites["127.0.0.3"].broken = True
                pins[HOST] = "127.0.0.3"
                with pytest.raises(QuietcoreError, match="stream cannot be opened"):
                    await stream.switch_endpoint(venue.url("ws"))
                with pytest.raises(UncertainError):
                    await http.switch_endpoint(venue.url("http"))
                pins[HOST] = "127.0.0.2"
                await heard(feed, venue.sites["127.0.0.2"])
                assert await http.server_time_ns() > 0
                assert stream.switches == 0

    run(work())


def test_subscriptions_survive_a_lost_connection(tmp_path: Path) -> None:
    async def work() -> None:
        async with DelayedVenue(tmp_path, ADDRESSES[:1], tls=False) as venue:
            site = venue.sites["127.0.0.2"]
            async with BybitPublicWebSocket(venue.url("ws", "127.0.0.2")) as stream:
                feed = Feed(stream)
                await stream.subscribe(TOPICS)
                await stream.subscribe(["tickers.BTCUSDT", TOPICS[0]])
                await stream.unsubscribe([TOPICS[1], "never.subscribed"])
                for times in (1, 2):
                    await site.sockets[0].close()
                    await until(partial(reconnected, stream, times))
                    await heard(feed, site)
                assert site.subscribed == [
                    TOPICS,
                    ["tickers.BTCUSDT"],
                    [TOPICS[1]],
                    *[[TOPICS[0], "tickers.BTCUSDT"]] * 2,
                ]
                assert feed.messages[-1].connection == 3

    run(work())


def test_options_of_the_connection(tmp_path: Path) -> None:
    """No compression is offered, small writes go out at once, and the buffers are what the kernel says."""

    async def work() -> None:
        async with DelayedVenue(tmp_path, ADDRESSES[:1], tls=False) as venue:
            url = venue.url("ws", "127.0.0.2")
            async with BybitPublicWebSocket(url, receive_buffer=100_000) as stream:
                state = stream.socket_state()
                assert state is not None
                assert state.nodelay
                assert state.receive_buffer == 200_000, "twice what was asked, as the kernel counts"
                assert state.peer == "127.0.0.2"
            assert venue.sites["127.0.0.2"].extensions == [""]
            async with BybitHTTPClient(venue.url("http", "127.0.0.2")) as http:
                await http.server_time_ns()
                assert [one.nodelay for one in http.socket_states()] == [True]

    run(work())


def test_what_a_venue_refuses_is_said(tmp_path: Path) -> None:
    async def work() -> None:
        async with DelayedVenue(tmp_path, ADDRESSES[:1], tls=False) as venue:
            url = venue.url("ws", "127.0.0.2")
            async with BybitPublicWebSocket(url) as stream:
                with pytest.raises(QuietcoreError, match=r"refuses to subscribe.*Invalid symbol"):
                    await stream.subscribe(["tickers.BAD"])
                await stream.subscribe(TOPICS)
                with pytest.raises(QuietcoreError, match=r"too many topics.*at most 21000"):
                    await stream.subscribe([f"tickers.{i:020}" for i in range(1000)])
            async with BybitPrivateWebSocket(url, CREDENTIALS) as private:
                await private.subscribe(["order", "execution"])
            with pytest.raises(QuietcoreError, match=r"refuses to auth.*check the key"):
                await BybitPrivateWebSocket(url, Credentials(KEY, b"wrong")).connect()
            with pytest.raises(QuietcoreError, match="stream cannot be opened"):
                await BybitPublicWebSocket("ws://127.0.0.9:1").connect()

    run(work())


def test_a_slow_consumer_loses_messages_and_knows_how_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quietcore.venues.bybit.stream.QUEUE_MESSAGES", 4)

    async def work() -> None:
        async with DelayedVenue(tmp_path, ADDRESSES[:1], tls=False) as venue:
            site = venue.sites["127.0.0.2"]
            async with BybitPublicWebSocket(venue.url("ws", "127.0.0.2")) as stream:
                await stream.subscribe(TOPICS)
                for _ in range(10):
                    await site.publish(TOPICS[0])
                await until(lambda: stream.overflowed == 6)

    run(work())


# order entry by WebSocket


def test_orders_by_the_socket_else_by_rest_and_never_by_both(tmp_path: Path) -> None:
    async def work() -> None:
        async with DelayedVenue(tmp_path, ADDRESSES[:1], tls=False) as venue:
            site = venue.sites["127.0.0.2"]
            stream = BybitTradeWebSocket(venue.url("ws", "127.0.0.2"), CREDENTIALS, timeout=0.3)
            async with BybitHTTPClient(venue.url("http", "127.0.0.2"), CREDENTIALS) as http:
                entry = BybitOrderEntry(stream, http)
                # Not connected yet: nothing was sent, so REST may.
                assert (await entry.place(**ORDER, orderLinkId="one"))["orderId"] == "rest-one"
                await stream.connect()
                assert (await entry.place(**ORDER, orderLinkId="two"))["orderId"] == "id-two"
                assert stream.limits["order.create"][:2] == (10, 9)
                assert site.trades[-1]["args"] == [{"category": "linear", **ORDER, "orderLinkId": "two"}]
                with pytest.raises(RefusedError, match="110007"):
                    await entry.place(**ORDER, orderLinkId="poor")
                # Sent, and no answer: nobody knows, and nobody may send it again.
                site.silent = True
                with pytest.raises(UncertainError, match=r"no answer within 0\.3 s") as raised:
                    await entry.place(**ORDER, orderLinkId="three")
                assert raised.value.written_ns > 0
                waiting = asyncio.create_task(entry.place(**ORDER, orderLinkId="four"))
                await until(lambda: site.trades[-1]["args"][0]["orderLinkId"] == "four")
                await site.sockets[0].close()
                with pytest.raises(UncertainError, match="connection lost"):
                    await waiting
                links = [order["args"][0]["orderLinkId"] for order in site.trades]
                assert links == ["two", "poor", "three", "four"]
                assert [body["orderLinkId"] for _, _, body in site.requests] == ["one"]
                assert entry.by_rest == 1
                ids = [order["reqId"] for order in site.trades]
                assert len(set(ids)) == len(ids)
                site.silent = False
                await until(lambda: stream.ready)
                assert (await entry.cancel(symbol="BTCUSDT", orderLinkId="two"))["orderId"] == "id-two"
                with pytest.raises(ValueError, match="orderLinkId"):
                    await entry.place(**ORDER)
                await stream.close()
                with pytest.raises(NotSentError):
                    await stream.request("order.cancel", {})

    run(work())


def test_order_entry_goes_over_without_losing_an_answer(tmp_path: Path) -> None:
    async def work() -> None:
        async with DelayedVenue(tmp_path, ADDRESSES) as venue:
            pins = {HOST: "127.0.0.2"}
            first, second = venue.sites["127.0.0.2"], venue.sites["127.0.0.3"]
            stream = BybitTradeWebSocket(venue.url("ws"), CREDENTIALS, tls_ca=str(venue.ca), pins=pins)
            entry = BybitOrderEntry(stream, BybitHTTPClient(venue.url("http"), CREDENTIALS))
            await stream.switch_endpoint("ws://nobody.test")
            assert stream.endpoint == "ws://nobody.test", "nothing is connected yet: only where to"
            stream.set_endpoint(venue.url("ws"))
            await stream.connect()
            # The old one answers late: after everything has gone over.
            first.delay = 0.4
            waiting = asyncio.create_task(entry.place(**ORDER, orderLinkId="one"))
            await until(lambda: bool(first.trades))
            second.delay = 0.05
            pins[HOST] = "127.0.0.3"
            switching = asyncio.create_task(stream.switch_endpoint(venue.url("ws")))
            sent = 0
            while not switching.done():
                assert stream.ready, "made before the break: there is a connection at every moment"
                await asyncio.sleep(0.005)
                sent += 1
            took = await switching
            assert sent > 2
            assert 0.05 <= took < 5.0
            assert not waiting.done()
            assert (await entry.place(**ORDER, orderLinkId="two"))["orderId"] == "id-two"
            assert (await waiting)["orderId"] == "id-one"
            await until(lambda: not first.sockets)
            assert [order["args"][0]["orderLinkId"] for order in first.trades] == ["one"]
            assert [order["args"][0]["orderLinkId"] for order in second.trades] == ["two"]
            assert (stream.switches, entry.by_socket, entry.by_rest) == (1, 2, 0)
            # A new one that does not come up changes nothing.
            first.broken = True
            pins[HOST] = "127.0.0.2"
            with pytest.raises(QuietcoreError, match="cannot go over"):
                await stream.switch_endpoint(venue.url("ws"))
            assert stream.ready
            assert (await entry.place(**ORDER, orderLinkId="three"))["orderId"] == "id-three"
            # And where the present one breaks, the next is made at the endpoint in use.
            first.broken, pins[HOST] = False, "127.0.0.3"
            await second.sockets[0].close()
            await until(lambda: not stream.ready or second.handshakes > 1)
            await until(lambda: stream.ready)
            assert second.handshakes == 2
            assert stream.problem == ""
            await stream.close()
            assert stream.problem == "closed"

    run(work())


def test_private_stream_goes_over_without_a_gap(tmp_path: Path) -> None:
    async def work() -> None:
        async with DelayedVenue(tmp_path, ADDRESSES) as venue:
            pins = {HOST: "127.0.0.2"}
            first, second = venue.sites["127.0.0.2"], venue.sites["127.0.0.3"]
            endpoints = Endpoints(venue.url("http"), venue.url("ws"), str(venue.ca))
            stream = BybitPrivateStream(endpoints, CREDENTIALS, pins)
            told: list[Any] = []

            async def listen() -> None:
                async for event in stream.events():
                    told.append(event)

            listening = asyncio.create_task(listen())
            await until(lambda: told == [StreamUp()])
            numbers = itertools.count()

            async def execute(*sites: Site) -> None:
                row = {"orderId": "o", "execId": f"e{next(numbers)}", "execQty": "1", "execPrice": "2"}
                for site in sites:
                    for socket in site.sockets:
                        await socket.send_json({"topic": "execution", "data": [row]})

            pins[HOST] = "127.0.0.3"
            second.delay = 0.03
            switching = asyncio.create_task(stream.switch_endpoint(venue.url("ws")))
            while not switching.done():
                await execute(first, second)
                await asyncio.sleep(0.005)
            await switching
            await execute(first)  # what only the old one was told in time
            await execute(second)
            last = next(numbers)
            await until(lambda: len({fill.execution_id for fill in told[1:]}) == last)
            await until(lambda: not first.sockets)
            assert not [event for event in told if isinstance(event, StreamDown)]
            assert stream.switches == 1
            # One that refuses changes nothing; without a connection only the place of the next one changes.
            first.broken, pins[HOST] = True, "127.0.0.2"
            with pytest.raises(QuietcoreError, match="private stream cannot go over"):
                await stream.switch_endpoint(venue.url("ws"))
            second.broken = True
            await second.sockets[0].close()
            await until(lambda: isinstance(told[-1], StreamDown))
            assert await stream.switch_endpoint(venue.url("ws")) == 0.0
            first.broken = False
            await until(lambda: isinstance(told[-1], StreamUp))
            assert len(first.sockets) == 1
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
            await until(lambda: not first.sockets)

    run(work())


def test_a_wrong_key_for_order_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quietcore.venues.bybit.trade_stream.OPEN_SECONDS", 0.5)

    async def work() -> None:
        async with DelayedVenue(tmp_path, ADDRESSES[:1], tls=False) as venue:
            stream = BybitTradeWebSocket(venue.url("ws", "127.0.0.2"), Credentials(KEY, b"wrong"))
            with pytest.raises(QuietcoreError, match=r"does not come up.*refuses the key.*10004") as raised:
                await stream.connect()
            assert "wrong" not in raised.value.message()
            await stream.close()

    run(work())

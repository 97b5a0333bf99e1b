"""Read a feed's ring, choose the fastest endpoints, take a stream, place one order and one in jittered slices.

Needs a running feed handler, and the venue (or the simulator) that it is subscribed to. Orders are post-only and far
below the market: they rest, are seen on the private stream or among the open orders, and are cancelled. Prints one
JSON object.
Key and secret come from the files that QUIETCORE_API_KEY_FILE and QUIETCORE_API_SECRET_FILE name.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import sys
import time
from decimal import Decimal
from typing import Any

import uvloop

from quietcore.bridge import SharedMemoryBridge
from quietcore.bridge.scale import Step
from quietcore.bridge.ticks import Quote, Trade
from quietcore.config import credentials
from quietcore.errors import ExitCode, QuietcoreError
from quietcore.execution.bus import EventBus
from quietcore.execution.smart_limit import ParentOrder, SmartLimitExecutor
from quietcore.scout import DynamicAPIScouter
from quietcore.venues.bybit import BybitHTTPClient, BybitPrivateWebSocket, BybitPublicWebSocket
from quietcore.venues.bybit.venue import instrument
from quietcore.venues.registry import targets_of_urls

STREAM_MESSAGES = 20
SLICES = 5
FAR_BELOW = Decimal("0.9")


def parse(words: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--feed", required=True, help="name of the feed's ring")
    parser.add_argument("--symbol", default="", help="(default: the feed's first)")
    parser.add_argument("--websocket", required=True, metavar="URL", help="scheme and host")
    parser.add_argument("--rest", required=True, metavar="URL", help="scheme and host")
    parser.add_argument("--tls-ca", default="", metavar="FILE", help="a further authority, PEM")
    parser.add_argument(
        "--timeout", type=float, default=30.0, help="seconds to wait for the feed (default 30)"
    )
    return parser.parse_args(words)


def read_ring(bridge: SharedMemoryBridge, symbol: str, seconds: float) -> dict[str, Any]:
    """Read ticks until the symbol's book is live; return what was seen."""
    number = bridge.segment.symbol(symbol).number
    counts = {"quotes": 0, "trades": 0, "others": 0}
    end = time.monotonic() + seconds
    while not ((state := bridge.latest(symbol)).live and state.bid and state.ask and counts["quotes"]):
        if time.monotonic() > end:
            raise QuietcoreError(
                "the book does not come alive", where=f"{bridge.feed}: {symbol}", code=ExitCode.UNKNOWN
            )
        for tick in bridge.read_ticks(4096):
            mine = tick.stamp.symbol == number
            kind = "quotes" if isinstance(tick, Quote) else "trades" if isinstance(tick, Trade) else "others"
            counts[kind] += mine
        time.sleep(0.001)
    batch = bridge.read_batch()
    mean = float(batch.ticks["a"].mean()) if len(batch) else 0.0
    stats = bridge.get_stats()
    return {
        **counts,
        "batch": {"ticks": len(batch), "mean_a": mean, "valid": batch.valid()},
        "ladder_levels": len(bridge.ladder(symbol).bids),
        "dropped_ticks": stats.dropped_ticks,
        "epoch": stats.epoch,
    }


async def watch_stream(stream: BybitPublicWebSocket, symbol: str) -> dict[str, Any]:
    """Subscribe, take some messages, go over to a new connection, take some more."""
    await stream.subscribe([f"orderbook.50.{symbol}"])
    connections: dict[int, int] = {}
    switched = 0.0
    async with asyncio.timeout(30):
        async for message in stream.messages():
            connections[message.connection] = connections.get(message.connection, 0) + 1
            if connections.get(1) == STREAM_MESSAGES and not switched:
                switched = await stream.switch_endpoint(stream.endpoint)
            if connections.get(2, 0) >= STREAM_MESSAGES:
                break
    return {"messages": connections, "switch_ms": round(switched * 1000, 1), "overflowed": stream.overflowed}


async def one_order(
    http: BybitHTTPClient, symbol: str, bid: Decimal, tick: Step, lot: Step
) -> dict[str, Any]:
    """Place a post-only order far below the market, see it rest, cancel it."""
    rules = next(entry for entry in await http.instruments() if entry["symbol"] == symbol)
    steps = int(bid * FAR_BELOW / tick.value)
    least = max(Decimal(rules["lotSizeFilter"]["minOrderQty"]), lot.value)
    notional = Decimal(rules["lotSizeFilter"].get("minNotionalValue") or 0)
    price = tick.decimal(steps)
    lots = max(int(-(-least // lot.value)), int(-(-notional // (price * lot.value))))
    link = f"example-{secrets.token_hex(6)}"
    placed = await http.place_order(
        symbol=symbol,
        side="Buy",
        orderType="Limit",
        qty=lot.text(lots),
        price=tick.text(steps),
        timeInForce="PostOnly",
        orderLinkId=link,
    )
    # Accepted is not resting: look.
    states = []
    for wanted in ("New", "Cancelled"):
        async with asyncio.timeout(10):
            while True:
                found = await http.open_orders(symbol=symbol, orderLinkId=link)
                if found and found[0]["orderStatus"] == wanted:
                    states.append(wanted)
                    break
                await asyncio.sleep(0.02)
        if wanted == "New":
            await http.cancel_order(symbol=symbol, orderLinkId=link)
    return {"order_id": placed["orderId"], "link": link, "states": states, "limits": len(http.limits)}


async def sliced_order(
    http: BybitHTTPClient, private: BybitPrivateWebSocket, symbol: str, bid: Decimal, tick: Step
) -> dict[str, Any]:
    """Place a parent in jittered post-only slices far below the market, see each rest, cancel all."""
    entry = next(entry for entry in await http.instruments() if entry["symbol"] == symbol)
    rules = instrument(entry, http.endpoint)
    bus = EventBus()
    resting: set[str] = set()
    over: set[str] = set()

    def heard(row: dict[str, Any]) -> None:
        (resting if row["orderStatus"] == "New" else over).add(row["orderLinkId"])

    async def listen() -> None:
        async for message in private.messages():
            for row in message.content["data"]:
                bus.publish("order", row)

    bus.subscribe("order", heard)
    await private.subscribe(["order"])
    listening = asyncio.create_task(listen())
    executor = SmartLimitExecutor(bus, http, rules={symbol: rules})
    executor.set_jitter_parameters(True, order_count=SLICES, min_size_threshold=0)
    price = tick.decimal(int(bid * FAR_BELOW / tick.value))
    # Each slice of the least value that the venue takes, and one lot over: the sum must still be exact.
    least = max(rules.min_quantity, -(-rules.min_notional / price // rules.lot_size) * rules.lot_size)
    parent = ParentOrder(symbol, True, (SLICES + 1) * least + rules.lot_size, price)
    children = await executor.place_post_only_order_with_jitter(parent)
    mine = {child.client_id for child in children}
    async with asyncio.timeout(10):
        while not mine <= resting:  # noqa: ASYNC110 -- sets that grow by themselves
            await asyncio.sleep(0.01)
        await http.cancel_all_orders(symbol=symbol)
        while not mine <= over:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    listening.cancel()
    return {
        "parent": str(parent.size),
        "children": [str(child.size) for child in children],
        "states": sorted({child.state.value for child in children}),
        "jittered": [child.metadata["jitter_index"] for child in children if child.metadata["jittered"]],
        "rested": len(mine & resting),
        "cancelled": len(mine & over),
    }


async def main(arguments: argparse.Namespace) -> dict[str, Any]:
    """Do all of it."""
    key = credentials()
    with SharedMemoryBridge(arguments.feed, timeout=arguments.timeout) as bridge:
        symbol = arguments.symbol or bridge.symbols[0].name
        # The bridge waits by looking: not in the event loop's thread.
        ring = await asyncio.to_thread(read_ring, bridge, symbol, arguments.timeout)
        entry = bridge.segment.symbol(symbol)
        best = bridge.latest(symbol).bid
        assert best is not None
        tick, lot = (
            Step(entry.tick_mantissa, entry.tick_exponent),
            Step(entry.lot_mantissa, entry.lot_exponent),
        )
    scouter = DynamicAPIScouter(
        check_interval=0.5,
        switch_interval=1.0,
        targets=targets_of_urls("bybit-linear", [arguments.websocket, arguments.rest]),
        tls_ca=arguments.tls_ca,
    )
    await scouter.start()
    websocket, rest = scouter.get_fastest_endpoints()
    stream = BybitPublicWebSocket(websocket, tls_ca=arguments.tls_ca, pins=scouter.pins)
    private = BybitPrivateWebSocket(websocket, key, tls_ca=arguments.tls_ca, pins=scouter.pins)
    http = BybitHTTPClient(rest, key, tls_ca=arguments.tls_ca, pins=scouter.pins)

    async def changed(new_websocket: str, new_rest: str) -> None:
        streams = [one.switch_endpoint(new_websocket) for one in (stream, private)]
        await asyncio.gather(*streams, http.switch_endpoint(new_rest))

    scouter.set_endpoint_change_callback(changed)
    try:
        async with stream, private, http:
            streamed = await watch_stream(stream, symbol)
            order = await one_order(http, symbol, tick.decimal(best[0]), tick, lot)
            sliced = await sliced_order(http, private, symbol, tick.decimal(best[0]), tick)
            state = stream.socket_state()
    finally:
        await scouter.stop()
    return {
        "symbol": symbol,
        "ring": ring,
        "endpoints": {"websocket": websocket, "rest": rest, "pins": scouter.pins},
        "stream": {**streamed, "socket": None if state is None else state._asdict()},
        "order": order,
        "sliced": sliced,
        "problems": scouter.problems,
    }


if __name__ == "__main__":
    try:
        print(json.dumps(uvloop.run(main(parse()))))
    except QuietcoreError as error:
        print(f"market_and_orders: {error}", file=sys.stderr)
        sys.exit(error.code)

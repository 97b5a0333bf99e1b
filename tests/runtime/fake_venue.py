"""A venue of the tests' own, in a thread: Bybit's order entry and private stream, with faults on command.

It checks signatures with its own HMAC, keeps every request, and does with the n-th order what the n-th entry
of ``plan`` says, or ``default``.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from aiohttp import WSMsgType, web

KEY, SECRET = "sim-key", "sim-secret"

INSTRUMENT: dict[str, Any] = {
    "symbol": "BTCUSDT",
    "priceFilter": {"tickSize": "0.1", "minPrice": "0.1", "maxPrice": "1999999.8"},
    "lotSizeFilter": {
        "qtyStep": "0.001",
        "minOrderQty": "0.001",
        "maxOrderQty": "1190",
        "minNotionalValue": "0.5",  # the orders of these tests are worth 1
    },
}


def signature(text: str) -> str:
    return hmac.new(SECRET.encode(), text.encode(), hashlib.sha256).hexdigest()


class FakeVenue:
    """Start with `with FakeVenue() as venue:`; ``venue.url`` and ``venue.websocket_url`` are loopback."""

    def __init__(self, plan: list[str] | None = None, default: str = "fill") -> None:
        self.plan = list(plan or [])
        self.default = default
        self.created: list[dict[str, Any]] = []
        self.by_socket = 0  # of these, by WebSocket
        self.no_trade_socket = False
        self.cancelled: list[dict[str, Any]] = []
        self.queries = 0
        self.orders: dict[str, dict[str, Any]] = {}
        self.executions: list[dict[str, Any]] = []
        self.position = Decimal(0)
        self.cancel_alls = 0
        self.bad_signatures = 0
        self.headers: list[dict[str, str]] = []
        self.instrument: dict[str, Any] = INSTRUMENT
        self.refuse_auth = False
        self.history: dict[str, dict[str, Any]] = {}  # orders that only the history has
        self.positions: list[dict[str, Any]] = []  # rows, instead of the one that follows from the fills
        self.price = ""  # what the ticker says, "" for none
        self.refusal: tuple[int, str, dict[str, str]] | None = None  # answers every signed request,
        self.refused_path = ""  # or those of one path
        self.mute = False  # the private stream tells nothing
        self.deaf = False  # nor does it answer pings
        self.requests: list[tuple[float, str, str]] = []  # signed ones: when, path, payload
        self.connections: set[Any] = set()
        self._sockets: set[web.WebSocketResponse] = set()
        self.trade_sockets: set[web.WebSocketResponse] = set()
        self._executions = 0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> FakeVenue:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._done.set)
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def websocket_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def call(self, function: Callable[[], Any]) -> None:
        """Run something in the venue's loop and wait for it."""

        async def work() -> None:
            result = function()
            if asyncio.iscoroutine(result):
                await result

        asyncio.run_coroutine_threadsafe(work(), self._loop).result(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._done = asyncio.Event()
        application = web.Application()
        application.add_routes(
            [
                web.get("/v5/market/time", self._time),
                web.get("/v5/market/instruments-info", self._instruments),
                web.post("/v5/order/create", self._create),
                web.post("/v5/order/cancel", self._cancel),
                web.get("/v5/order/realtime", self._realtime),
                web.get("/v5/order/history", self._history),
                web.get("/v5/market/tickers", self._tickers),
                web.get("/v5/execution/list", self._execution_list),
                web.get("/v5/position/list", self._position_list),
                web.post("/v5/order/cancel-all", self._cancel_everything),
                web.get("/v5/private", self._private),
                web.get("/v5/trade", self._trade),
                web.get("/v5/public/linear", self._public),
            ]
        )
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.port = runner.addresses[0][1]
        self._ready.set()
        await self._done.wait()
        await self.drop_streams()
        await self.drop_trade_sockets()
        await runner.cleanup()

    # market

    def _answer(self, result: Any, code: int = 0, text: str = "OK") -> web.Response:
        return web.json_response({"retCode": code, "retMsg": text, "result": result, "time": 0})

    async def _time(self, request: web.Request) -> web.Response:
        now = time.time_ns()
        return self._answer({"timeSecond": str(now // 10**9), "timeNano": str(now)})

    async def _instruments(self, request: web.Request) -> web.Response:
        found = [self.instrument] if request.query.get("symbol") == self.instrument["symbol"] else []
        return self._answer({"category": "linear", "list": found, "nextPageCursor": ""})

    async def _tickers(self, request: web.Request) -> web.Response:
        found = [{"symbol": request.query.get("symbol"), "lastPrice": self.price}] if self.price else []
        return self._answer({"category": "linear", "list": found})

    # orders

    def _refusal(self, request: web.Request, payload: str) -> web.Response | None:
        headers = request.headers
        self.requests.append((time.monotonic(), request.path, payload))
        if self.refusal is not None and self.refused_path in ("", request.path):
            status, text, extra = self.refusal
            kind = "application/json" if text.startswith("{") else "text/html"
            return web.Response(status=status, text=text, headers=extra, content_type=kind)
        self.headers.append(dict(headers))
        self.connections.add(request.transport)
        if headers.get("X-BAPI-API-KEY") != KEY:
            return self._answer({}, 10003, "API key is invalid.")
        text = headers["X-BAPI-TIMESTAMP"] + KEY + headers["X-BAPI-RECV-WINDOW"] + payload
        if headers["X-BAPI-SIGN"] != signature(text):
            self.bad_signatures += 1
            return self._answer({}, 10004, "error sign!")
        if abs(int(headers["X-BAPI-TIMESTAMP"]) - time.time() * 1000) > 5000:
            return self._answer({}, 10002, "invalid request, please check your server timestamp")
        return None

    async def _create(self, request: web.Request) -> web.StreamResponse:
        payload = await request.text()
        if refusal := self._refusal(request, payload):
            return refusal
        body = json.loads(payload)
        self.created.append(body)
        what = self.plan.pop(0) if self.plan else self.default
        link = body["orderLinkId"]
        order_id = f"id-{len(self.created)}"
        if what.startswith("reject"):
            return self._answer({}, int(what.split(":")[1]), "refused")
        if what == "lost":  # never arrives; the connection breaks
            assert request.transport is not None
            request.transport.abort()
            return self._answer({})
        self._list(body, order_id)
        if what == "fill before acknowledgement":
            await self.execute(link, body["qty"], anonymous=True)
            await asyncio.sleep(0.02)
        elif what == "accepted, connection breaks":
            await self._later(link, "fill")
            assert request.transport is not None
            request.transport.abort()
            return self._answer({})
        elif what == "accepted, server error":
            return self._answer({}, 10016, "server error")
        elif what == "duplicate link id":
            return self._answer({}, 110072, "OrderLinkedID is duplicate")
        else:
            self._tasks = [*getattr(self, "_tasks", []), asyncio.create_task(self._later(link, what))]
        return self._answer({"orderId": order_id, "orderLinkId": link})

    def _list(self, body: dict[str, Any], order_id: str) -> None:
        self.orders[body["orderLinkId"]] = {
            **{name: body[name] for name in ("orderLinkId", "symbol", "side", "price", "qty")},
            **{"orderId": order_id, "orderStatus": "New", "cumExecQty": "0", "rejectReason": "EC_NoError"},
        }

    async def _trade(self, request: web.Request) -> web.StreamResponse:
        """Order entry by WebSocket: every order is accepted and does what ``default`` says, cancels cancel."""
        if self.no_trade_socket:
            raise web.HTTPServiceUnavailable
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.trade_sockets.add(socket)
        async for message in socket:
            body = json.loads(message.data)
            operation, answer = body["op"], {"op": body["op"], "reqId": body.get("reqId", ""), "retCode": 0}
            if operation == "auth":
                key, expires, sign = body["args"]
                good = key == KEY and sign == signature(f"GET/realtime{expires}")
                await socket.send_json({**answer, "retCode": 0 if good else 10004})
                continue
            if operation == "ping":
                await socket.send_json(answer)
                continue
            words = body["args"][0]
            link = words["orderLinkId"]
            if operation == "order.create":
                self.created.append(words)
                self.by_socket += 1
                self._list(words, f"id-{len(self.created)}")
            else:
                self.cancelled.append(words)
                self.orders[link]["orderStatus"] = "Cancelled"
            data = {"orderId": self.orders[link]["orderId"], "orderLinkId": link}
            await socket.send_json({**answer, "retMsg": "OK", "data": data})
            if operation == "order.create":
                await self._later(link, self.default)
            else:
                await self.tell_order(link)
        self.trade_sockets.discard(socket)
        return socket

    async def _public(self, request: web.Request) -> web.WebSocketResponse:
        """Answer pings, which is all that a measurement asks for."""
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            body = json.loads(message.data)
            await socket.send_json({"op": "ping", "success": True, "ret_msg": "pong", **body})
        return socket

    async def drop_trade_sockets(self) -> None:
        """Break every order-entry connection."""
        for socket in list(self.trade_sockets):
            await socket.close()

    async def _later(self, link: str, what: str) -> None:
        quantity = self.orders[link]["qty"]
        if what == "fill":
            await self.tell_order(link)
            await self.execute(link, quantity)
        elif what == "fill twice told":
            await self.execute(link, quantity)
            await self.execute(link, quantity, again=True)
        elif what == "partial":
            await self.execute(link, str(Decimal(quantity) / 2))
        elif what == "executions only":
            await self.execute(link, quantity, order_topic=False)
        elif what == "order topic only":
            order = self.orders[link]
            order["orderStatus"], order["cumExecQty"] = "Filled", quantity
            self.position += Decimal(quantity) * (1 if order["side"] == "Buy" else -1)
            await self.tell_order(link)
        elif what == "post-only cancel":
            order = self.orders[link]
            order["orderStatus"], order["rejectReason"] = "Cancelled", "EC_PostOnlyWillTakeLiquidity"
            await self.tell_order(link)
        elif what == "rest":
            await self.tell_order(link)
        elif what != "silent":
            raise AssertionError(what)

    async def execute(
        self,
        link: str,
        quantity: str,
        *,
        again: bool = False,
        anonymous: bool = False,
        order_topic: bool = True,
    ) -> None:
        order = self.orders[link]
        if not again:
            self._executions += 1
            order["cumExecQty"] = str(Decimal(order["cumExecQty"]) + Decimal(quantity))
            whole = Decimal(order["cumExecQty"]) >= Decimal(order["qty"])
            order["orderStatus"] = "Filled" if whole else "PartiallyFilled"
        execution = {
            "symbol": order["symbol"],
            "orderId": order["orderId"],
            "orderLinkId": "" if anonymous else link,
            "execId": f"exec-{self._executions}",
            "execPrice": order["price"],
            "execQty": quantity,
            "execType": "Trade",
            "side": order["side"],
        }
        if not again:
            self.executions.append({**execution, "orderLinkId": link})
            self.position += Decimal(quantity) * (1 if order["side"] == "Buy" else -1)
        await self._tell({"topic": "execution", "creationTime": 0, "data": [execution]})
        if order_topic and not anonymous:
            await self.tell_order(link)

    async def tell_order(self, link: str) -> None:
        await self._tell({"topic": "order", "creationTime": 0, "data": [dict(self.orders[link])]})

    async def _cancel(self, request: web.Request) -> web.Response:
        payload = await request.text()
        if refusal := self._refusal(request, payload):
            return refusal
        body = json.loads(payload)
        self.cancelled.append(body)
        order = self.orders.get(body["orderLinkId"])
        if order is None or order["orderStatus"] not in ("New", "PartiallyFilled"):
            return self._answer({}, 110001, "order not exists or too late to cancel")
        order["orderStatus"] = "Cancelled"
        await self.tell_order(body["orderLinkId"])
        return self._answer({"orderId": order["orderId"], "orderLinkId": order["orderLinkId"]})

    async def _realtime(self, request: web.Request) -> web.Response:
        if refusal := self._refusal(request, request.raw_path.partition("?")[2]):
            return refusal
        if "orderLinkId" not in request.query:
            found = [one for one in self.orders.values() if one["orderStatus"] in ("New", "PartiallyFilled")]
            return self._answer({"list": found, "nextPageCursor": ""})
        self.queries += 1
        order = self.orders.get(request.query["orderLinkId"])
        return self._answer({"list": [order] if order else [], "nextPageCursor": ""})

    async def _history(self, request: web.Request) -> web.Response:
        if refusal := self._refusal(request, request.raw_path.partition("?")[2]):
            return refusal
        order = self.history.get(request.query.get("orderLinkId", ""))
        return self._answer({"list": [order] if order else [], "nextPageCursor": ""})

    def restart(self) -> None:
        """Forget the live list, as the venue's restart does: what is over stands in the history alone."""
        self.history.update(self.orders)
        self.orders.clear()

    async def _cancel_everything(self, request: web.Request) -> web.Response:
        payload = await request.text()
        if refusal := self._refusal(request, payload):
            return refusal
        self.cancel_alls += 1
        for link, order in self.orders.items():
            if order["orderStatus"] in ("New", "PartiallyFilled"):
                order["orderStatus"] = "Cancelled"
                await self.tell_order(link)
        return self._answer({"list": [], "success": "1"})

    async def _execution_list(self, request: web.Request) -> web.Response:
        if refusal := self._refusal(request, request.raw_path.partition("?")[2]):
            return refusal
        return self._answer({"list": self.executions[::-1], "nextPageCursor": ""})

    async def _position_list(self, request: web.Request) -> web.Response:
        if refusal := self._refusal(request, request.raw_path.partition("?")[2]):
            return refusal
        side = "Buy" if self.position > 0 else "Sell" if self.position < 0 else ""
        position = {"symbol": "BTCUSDT", "side": side, "size": str(abs(self.position)), "avgPrice": "1000.5"}
        return self._answer({"list": self.positions or [position], "nextPageCursor": ""})

    # the private stream

    async def _private(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                break  # the venue reads no binary frames
            body = json.loads(message.data)
            if body["op"] == "auth":
                key, expires, sign = body["args"]
                good = key == KEY and sign == signature(f"GET/realtime{expires}") and not self.refuse_auth
                good = good and expires > time.time() * 1000
                await socket.send_json({"success": good, "ret_msg": "" if good else "denied", "op": "auth"})
            elif body["op"] == "subscribe":
                self._sockets.add(socket)
                await socket.send_json({"success": True, "ret_msg": "", "op": "subscribe"})
            elif body["op"] == "ping" and not self.deaf:
                await socket.send_json({"op": "pong"})
        self._sockets.discard(socket)
        return socket

    async def _tell(self, message: dict[str, Any]) -> None:
        if self.mute:
            return
        for socket in list(self._sockets):
            await socket.send_json(message)

    async def drop_streams(self) -> None:
        """Break every private stream, as a server's restart would."""
        for socket in list(self._sockets):
            self._sockets.discard(socket)
            await socket.close()

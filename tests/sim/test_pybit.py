"""The simulator as the venue's own Python client sees it: pybit, pinned and unmodified, over TLS.

`domain` leads it to names of the test's own (its public stream is always below .com); the resolver of this process
leads those to the simulator, and a certificate authority made for the test vouches for it.
"""

from __future__ import annotations

import datetime
import ipaddress
import json
import os
import queue
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pybit", reason="pybit is not installed: pip install -r requirements-dev.lock")
RUNTIME = Path(__file__).resolve().parents[2] / "runtime"
DOMAIN = "quietcore"
HOSTS = (f"api.{DOMAIN}.com", f"stream.{DOMAIN}.com")
SYMBOL = "BTCUSDT"


def certificates(folder: Path) -> tuple[Path, Path, Path]:
    """Make an authority, and a certificate and key for HOSTS; return their files."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    now = datetime.datetime.now(datetime.UTC)

    def build(name: str, subject_key: Any, issuer: str, signer: Any, *, authority: bool) -> Any:
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
            .public_key(subject_key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if not authority:
            names: list[x509.GeneralName] = [x509.DNSName(host) for host in HOSTS]
            names.append(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(signer, hashes.SHA256())

    authority_key, server_key = (
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP256R1()),
    )
    authority = build("test authority", authority_key, "test authority", authority_key, authority=True)
    server = build(HOSTS[0], server_key, "test authority", authority_key, authority=False)
    files = folder / "ca.pem", folder / "server.pem", folder / "server.key"
    files[0].write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(server.public_bytes(serialization.Encoding.PEM))
    files[2].write_bytes(
        server_key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return files


class Simulator:
    """`quietcore sim` over TLS, with two accounts."""

    def __init__(self, folder: Path) -> None:
        self.authority, certificate, key = certificates(folder)
        secret = folder / "other_secret"
        secret.write_text("other-secret")
        options = ["--symbols", "1", "--rate", "200", "--listen", "127.0.0.1:0", "--json"]
        # pybit notes whom an answer is for when it has sent the question; no real venue is as near as this one.
        options += ["--delay", "50"]
        tls = ["--tls-cert", str(certificate), "--tls-key", str(key)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "quietcore", "sim", *options, *tls, "--account", f"other={secret}"],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(RUNTIME)},
        )
        self._clients: list[Any] = []
        self.host, self.port = "127.0.0.1", 0

    def __enter__(self) -> Simulator:
        assert self._process.stdout is not None
        self.port = json.loads(self._process.stdout.readline())["listening"]["port"]
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._clients:
            client.client.close()
        self._process.terminate()
        self._process.communicate(timeout=20)

    def http(self, key: str, secret: str, **more: Any) -> Any:
        from pybit.unified_trading import HTTP

        client = HTTP(testnet=False, domain=DOMAIN, api_key=key, api_secret=secret, **more)
        client.client.verify = str(self.authority)  # the session it offers for such things
        self._clients.append(client)
        return client

    def arm(self, fault: str) -> dict[str, Any]:
        import requests

        url = f"https://{self.host}:{self.port}/sim/faults"
        with requests.post(url, json={"fault": fault}, verify=str(self.authority), timeout=10) as answer:
            found: dict[str, Any] = answer.json()
        return found


@pytest.fixture
def simulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    resolve = socket.getaddrinfo
    with Simulator(tmp_path) as running:

        def known(host: Any, port: Any, *rest: Any, **more: Any) -> Any:
            if host in HOSTS:
                host, port = running.host, running.port
            return resolve(host, port, *rest, **more)

        monkeypatch.setattr(socket, "getaddrinfo", known)
        monkeypatch.setenv("WEBSOCKET_CLIENT_CA_BUNDLE", str(running.authority))
        yield running


class Heard:
    """Messages of a callback in another thread."""

    def __init__(self) -> None:
        self._queue: queue.Queue[Any] = queue.Queue()

    def __call__(self, message: Any) -> None:
        self._queue.put(message)

    def until(self, condition: Callable[[Any], Any]) -> Any:
        while True:
            message = self._queue.get(timeout=20)
            if found := condition(message):
                return found


def row(heard: Heard, link: str, **wanted: str) -> Any:
    """Wait for the row of an order with these fields."""

    def fits(message: Any) -> Any:
        for one in message["data"]:
            if one["orderLinkId"] == link and all(one[name] == value for name, value in wanted.items()):
                return one
        return None

    return heard.until(fits)


def test_pybit_subscribes_places_amends_cancels_and_sees_fills(simulator: Simulator) -> None:
    from pybit.unified_trading import WebSocket, WebSocketTrading

    where: dict[str, Any] = {"testnet": False, "domain": DOMAIN}
    keys: dict[str, Any] = {"api_key": "sim-key", "api_secret": "sim-secret"}
    # pybit signs for one second only, which a busy machine may need to deliver it, and waits for ever once refused.
    keys["private_auth_expire"] = 30
    http = simulator.http("sim-key", "sim-secret")
    public = WebSocket(channel_type="linear", **where)
    private = WebSocket(channel_type="private", **where, **keys)
    trading = WebSocketTrading(**where, **keys)
    books, orders, fills, answers = Heard(), Heard(), Heard(), Heard()
    try:
        private.order_stream(callback=orders)
        private.execution_stream(callback=fills)
        public.orderbook_stream(depth=50, symbol=SYMBOL, callback=books)
        book = books.until(lambda message: message["data"] if message["data"]["b"] else None)
        rules = http.get_instruments_info(category="linear", symbol=SYMBOL)["result"]["list"][0]
        tick = float(rules["priceFilter"]["tickSize"])
        digits = len(rules["priceFilter"]["tickSize"].partition(".")[2])
        low = f"{float(book['b'][0][0]) - 2000 * tick:.{digits}f}"
        lower = f"{float(book['b'][0][0]) - 2500 * tick:.{digits}f}"
        common: dict[str, Any] = {"category": "linear", "symbol": SYMBOL}
        limit: dict[str, Any] = {**common, "side": "Buy", "orderType": "Limit", "qty": "0.01"}

        # REST: a resting post-only order, amended, cancelled
        placed = http.place_order(**limit, price=low, timeInForce="PostOnly", orderLinkId="rest-1")
        assert placed["retCode"] == 0
        row(orders, "rest-1", orderStatus="New", price=low.rstrip("0").rstrip("."))
        http.amend_order(**common, orderLinkId="rest-1", price=lower, qty="0.02")
        amended = row(orders, "rest-1", qty="0.02")
        assert amended["price"] == lower.rstrip("0").rstrip(".")
        assert [one["orderLinkId"] for one in http.get_open_orders(**common)["result"]["list"]] == ["rest-1"]
        http.cancel_order(**common, orderLinkId="rest-1")
        row(orders, "rest-1", orderStatus="Cancelled")

        # WebSocket order entry: a market order that fills, then amend and cancel
        trading.place_order(answers, **common, side="Buy", orderType="Market", qty="0.01", orderLinkId="ws-1")
        answer = answers.until(lambda message: message)
        assert (answer["retCode"], answer["header"]["X-Bapi-Limit"]) == (0, "10")
        fill = fills.until(lambda message: message["data"][0])
        assert (fill["orderLinkId"], fill["side"], fill["isMaker"]) == ("ws-1", "Buy", False)
        row(orders, "ws-1", orderStatus="Filled", cumExecQty="0.01")
        trading.place_order(answers, **limit, price=low, timeInForce="GTC", orderLinkId="ws-2")
        row(orders, "ws-2", orderStatus="New")
        trading.amend_order(answers, **common, orderLinkId="ws-2", price=lower)
        row(orders, "ws-2", price=lower.rstrip("0").rstrip("."))
        trading.cancel_order(answers, **common, orderLinkId="ws-2")
        row(orders, "ws-2", orderStatus="Cancelled")

        # batches, cancel-all, queries
        batch = [{**limit, "price": low, "orderLinkId": f"batch-{number}"} for number in range(3)]
        made = http.place_batch_order(category="linear", request=batch)
        assert [one["code"] for one in made["retExtInfo"]["list"]] == [0, 0, 0]
        row(orders, "batch-2", orderStatus="New")
        cancelled = http.cancel_all_orders(**common)["result"]
        assert sorted(one["orderLinkId"] for one in cancelled["list"]) == ["batch-0", "batch-1", "batch-2"]
        row(orders, "batch-2", orderStatus="Cancelled")
        assert http.get_open_orders(**common)["result"]["list"] == []
        executions = http.get_executions(**common)["result"]["list"]
        assert [one["execId"] for one in executions] == [fill["execId"]]
        position = http.get_positions(**common)["result"]["list"][0]
        assert (position["side"], position["size"]) == ("Buy", "0.01")

        # a post-only order that would take is told so on the stream only
        high = f"{float(book['a'][0][0]) + 500 * tick:.{digits}f}"
        http.place_order(**limit, price=high, timeInForce="PostOnly", orderLinkId="taker")
        refused = row(orders, "taker", orderStatus="Cancelled")
        assert refused["rejectReason"] == "EC_PostOnlyWillTakeLiquidity"
        # another account sees nothing of all this
        other = simulator.http("other", "other-secret")
        assert other.get_executions(**common)["result"]["list"] == []
    finally:
        for client in (public, private, trading):
            client.exit()


def test_pybit_is_told_of_refusals(simulator: Simulator) -> None:
    from pybit.exceptions import InvalidRequestError

    order: dict[str, Any] = {
        **{"category": "linear", "symbol": SYMBOL, "side": "Buy", "orderType": "Limit"},
        **{"qty": "0.01", "price": "100000"},
    }

    def refusal(client: Any, **changes: Any) -> int:
        with pytest.raises(InvalidRequestError) as caught:
            client.place_order(**{**order, **changes})
        return int(caught.value.status_code)

    http = simulator.http("sim-key", "sim-secret")
    assert refusal(simulator.http("nobody", "x")) == 10003
    assert refusal(simulator.http("sim-key", "wrong")) == 10004
    assert refusal(http, qty="0.0000001") == 10001
    once = simulator.http("sim-key", "sim-secret", retry_codes={-1})
    for fault, code in (("wrong-key", 10003), ("rate-limit", 10006), ("clock-skew", 10002)):
        simulator.arm(fault)
        assert refusal(once) == code
    state = simulator.arm("duplicate-fill")
    assert state["happened"] == {"wrong-key": 1, "rate-limit": 1, "clock-skew": 1}
    assert "error" in simulator.arm("no-such-fault")

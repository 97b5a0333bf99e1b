"""An order from its fields to the body and headers of a request: what the programs that are compared have in common."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import NamedTuple

KEY, SECRET = "bench-key", "bench-secret"
ORDER: dict[str, str | int] = {
    "category": "linear",
    "symbol": "BTCUSDT",
    "side": "Buy",
    "orderType": "Limit",
    "qty": "0.001",
    "price": "61659.70",
    "timeInForce": "PostOnly",
    "orderLinkId": "q6740a1b2c3d4e5f6-1",
    "positionIdx": 0,
}
PASS = 100


class Signed(NamedTuple):
    """What would go to the socket, but for the HTTP around it."""

    body: str
    headers: Mapping[str, str]


def serve(distribution: str, sign: Callable[[], Signed]) -> None:
    """Answer `CASE INPUT SECONDS` lines until the input ends: sign for at least SECONDS, show the last one."""
    name = f"{distribution} {version(distribution)}" if distribution != "quietcore" else distribution
    print(json.dumps({"ready": True, "version": name}), flush=True)
    for line in sys.stdin:
        seconds = float(line.split()[2])
        operations = 0
        begin = time.perf_counter()
        while True:
            for _ in range(PASS):
                signed = sign()
            operations += PASS
            elapsed = time.perf_counter() - begin
            if elapsed >= seconds:
                break
        headers = {name.upper(): str(value) for name, value in signed.headers.items()}
        answer = {"operations": operations, "seconds": elapsed, "body": signed.body, "headers": headers}
        print(json.dumps(answer), flush=True)

"""Bybit's public hosts by account region. A key works on the hosts of its own region alone (code 10003 elsewhere).

https://bybit-exchange.github.io/docs/v5/guide and /docs/v5/ws/connect
"""

from __future__ import annotations

from quietcore.errors import QuietcoreError
from quietcore.venues.interface import Target

# region: WebSocket hosts, REST hosts. Regions without a stream of their own use the common one.
COMMON_STREAM = "stream.bybit.com"
REGIONS = {
    "global": ([COMMON_STREAM], ["api.bybit.com", "api.bytick.com"]),
    "nl": ([COMMON_STREAM], ["api.bybit.nl"]),
    "tr": (["stream.bybit.tr"], ["api.bybit.tr"]),
    "kz": (["stream.bybit.kz"], ["api.bybit.kz"]),
    "ge": (["stream.bybitgeorgia.ge"], ["api.bybitgeorgia.ge"]),
    "ae": ([COMMON_STREAM], ["api.bybit.ae"]),
    "eu": ([COMMON_STREAM], ["api.bybit.eu"]),
    "id": (["stream.bybit.id"], ["api.bybit.id"]),
}
TESTNET = (["stream-testnet.bybit.com"], ["api-testnet.bybit.com"])
STREAM_PATH = "/v5/public/linear"
PING = '{"op":"ping"}'
TIME_PATH = "/v5/market/time"


def targets(region: str, testnet: bool) -> list[Target]:
    """Return what may be measured for an account of ``region``."""
    if region not in REGIONS:
        raise QuietcoreError(
            "unknown region", where="region", found=repr(region), expected=f"one of {', '.join(REGIONS)}"
        )
    streams, rests = TESTNET if testnet else REGIONS[region]
    return [
        *(Target("websocket", host, 443, True, STREAM_PATH, PING) for host in streams),
        *(Target("rest", host, 443, True, TIME_PATH) for host in rests),
    ]

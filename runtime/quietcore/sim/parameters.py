"""Which parameters of a request the simulator obeys, which it refuses by name, and which the venue ignores.

The names are those of the venue's documentation (bybit-exchange.github.io/docs/v5, July 2026), for linear contracts.
A parameter that is documented, means something there, and is not simulated is refused with 10001 and its name. What
the venue documents for other categories only it ignores, as it ignores names that it does not know; those are counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from quietcore.sim.refusal import Reject
from quietcore.sim.statistics import Statistics

NOTHING = (None, "")
CATEGORY = "linear"
OTHER_CATEGORIES = ("spot", "inverse", "option")
SETTLE_COINS = ("USDT", "USDC")  # of linear contracts


@dataclass(frozen=True)
class Parameters:
    """The parameters of one path. `refused`: by name, the values that mean the same as none at all."""

    served: frozenset[str]
    refused: Mapping[str, tuple[object, ...]]
    elsewhere: frozenset[str] = frozenset()  # documented, for other categories only

    def check(self, place: str, words: Mapping[str, Any], statistics: Statistics) -> None:
        """Hold a request against them; raise Reject, count what the venue does not know."""
        for name, value in words.items():
            if name in self.served or name in self.elsewhere:
                continue
            harmless = self.refused.get(name)
            if harmless is None:
                statistics.unknown_parameter(place, name)
            elif value not in NOTHING and value not in harmless:
                raise Reject(10001, f"params error: {name} is not supported by this simulator")


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


NO_PRICE = ("0", 0)
TAKE_PROFIT_STOP_LOSS: dict[str, tuple[object, ...]] = {
    **dict.fromkeys(("takeProfit", "stopLoss", "tpLimitPrice", "slLimitPrice"), NO_PRICE),
    **dict.fromkeys(("tpTriggerBy", "slTriggerBy", "tpslMode", "tpOrderType", "slOrderType"), ()),
}
CREATE = Parameters(
    _names(
        "category symbol side orderType qty price triggerDirection triggerPrice triggerBy timeInForce positionIdx "
        "orderLinkId reduceOnly"
    ),
    {
        **TAKE_PROFIT_STOP_LOSS,
        "closeOnTrigger": (False, "false"),
        "smpType": ("None",),
        **dict.fromkeys(("slippageToleranceType", "slippageTolerance"), ("UNKNOWN",)),
        **dict.fromkeys(("bboSideType", "bboLevel"), ()),
    },
    _names("isLeverage marketUnit orderFilter orderIv mmp"),
)
AMEND = Parameters(
    _names("category symbol orderId orderLinkId triggerPrice triggerBy qty price"),
    TAKE_PROFIT_STOP_LOSS,
    _names("orderIv"),
)
CANCEL = Parameters(_names("category symbol orderId orderLinkId"), {}, _names("orderFilter"))
CANCEL_ALL = Parameters(_names("category symbol baseCoin settleCoin orderFilter stopOrderType"), {})
BATCH = Parameters(_names("category request"), {})
DISCONNECT = Parameters(_names("product timeWindow"), {})
SWITCH_MODE = Parameters(_names("category symbol coin mode"), {})
QUERIES = {
    "/v5/order/realtime": Parameters(
        _names("category symbol baseCoin settleCoin orderId orderLinkId openOnly orderFilter limit cursor"),
        {},
    ),
    "/v5/order/history": Parameters(
        _names(
            "category symbol baseCoin settleCoin orderId orderLinkId orderFilter orderStatus startTime endTime "
            "limit cursor"
        ),
        {},
    ),
    "/v5/execution/list": Parameters(
        _names("category symbol orderId orderLinkId baseCoin startTime endTime execType limit cursor"), {}
    ),
    "/v5/position/list": Parameters(
        _names("category symbol settleCoin limit cursor"), {}, _names("baseCoin")
    ),
    "/v5/account/wallet-balance": Parameters(_names("accountType coin"), {}),
}
TICKERS = Parameters(_names("category symbol"), {}, _names("baseCoin expDate"))
INSTRUMENTS = Parameters(_names("category symbol status baseCoin limit cursor"), {"symbolType": ()})


def check_category(words: Mapping[str, Any]) -> None:
    """Refuse every category but linear contracts; raise Reject."""
    found = words.get("category")
    if found in OTHER_CATEGORIES:
        raise Reject(10001, f"params error: category {found} is not supported by this simulator")
    if found != CATEGORY:
        raise Reject(10001, "params error: category invalid")


def one_of(words: Mapping[str, Any], name: str, allowed: Iterable[str], usual: str = "") -> str:
    """Return a parameter that may have one of some values, `usual` where it is absent; raise Reject."""
    found = words.get(name)
    if found in NOTHING:
        return usual
    if str(found) not in tuple(allowed):
        raise Reject(10001, f"params error: {name} invalid")
    return str(found)


def integer(words: Mapping[str, Any], name: str, usual: int, least: int, most: int) -> int:
    """Return a parameter that is a whole number; raise Reject."""
    found = words.get(name)
    if found in NOTHING:
        return usual
    try:
        number = int(str(found))
    except ValueError:
        raise Reject(10001, f"params error: {name} invalid") from None
    if not least <= number <= most:
        raise Reject(10001, f"params error: {name} must be {least} to {most}")
    return number

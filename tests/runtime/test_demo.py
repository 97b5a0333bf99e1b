"""The demo's judgement of the pipeline's figures."""

from copy import deepcopy
from typing import Any

import pytest

from quietcore.cli.demo import shortcomings

SOUND: dict[str, Any] = {
    "ticks": {"read": 10, "dropped": 0},
    "signals": 1,
    "orders": {"sent": 1},
    "fills": 1,
    "hops": {"venue_received": {"count": 3}, "signal_sent": {"count": 1}},
}


def test_sound_figures_pass() -> None:
    assert shortcomings(SOUND) == []


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (("ticks", "dropped"), 2, "2 ticks were dropped"),
        (("ticks", "read"), 0, "no ticks were read"),
        (("signals",), 0, "no signals were seen"),
        (("orders", "sent"), 0, "no orders were sent"),
        (("fills",), 0, "no fills came back"),
        (("hops", "signal_sent", "count"), 0, "hop signal_sent was never measured"),
    ],
)
def test_each_shortcoming_is_named(place: tuple[str, ...], value: int, said: str) -> None:
    status = deepcopy(SOUND)
    inner = status
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = value
    assert shortcomings(status) == [said]

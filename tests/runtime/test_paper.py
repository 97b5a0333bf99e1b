"""Paper orders against a ring's book, and the judge that trades less when the way is slow."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.runtime.conftest import MakeWriter
from tests.runtime.test_run import RUNTIME, Market

from quietcore.bridge.ring import DROPPED
from quietcore.bridge.segment import attach
from quietcore.config import DegradeConfig
from quietcore.execution.degrade import Degrader
from quietcore.execution.paper import PaperVenue
from quietcore.histogram import FIRST, record
from quietcore.strategy.account import DEGRADED, Account
from quietcore.strategy.workspace import PUBLISHED_READ, Workspace
from quietcore.venues.interface import Fate, Fill, OrderRequest, OrderUpdate, RefusedError, StreamUp


def order(
    number: int, price: str, quantity: str = "0.04", *, buy: bool = True, post: bool = False
) -> OrderRequest:
    return OrderRequest(f"p-{number}", "BTCUSDT", buy, quantity, price, post)


def test_paper_orders_fill_against_the_book(make_writer: MakeWriter, feed: str) -> None:
    writer = make_writer()
    writer.message([(10_000, 50)], [(10_010, 30), (10_011, 90)])

    async def story() -> None:
        segment = attach(feed)
        venue = PaperVenue(segment, segment.symbols[0])
        await venue.open()
        events = venue.events()
        assert isinstance(await anext(events), StreamUp)
        await venue.place(order(0, "1001.1"))
        found = [await anext(events) for _ in range(3)]
        fills = [one for one in found if isinstance(one, Fill)]
        assert [(f"{one.price}", f"{one.quantity}") for one in fills] == [
            ("1001.0", "0.030"),
            ("1001.1", "0.010"),
        ]
        assert (await venue.position("BTCUSDT")).quantity == Decimal("0.04")
        assert len(await venue.executions("BTCUSDT", 0)) == 2
        with pytest.raises(RefusedError):
            await venue.place(order(0, "1000"))  # the same id
        await venue.place(order(1, "1000.5", post=True))
        assert [one.client_id for one in await venue.open_orders("")] == ["p-1"]
        assert isinstance(await anext(events), OrderUpdate)
        writer.message([(10_000, 50)], [(10_005, 20)])
        crossed = await anext(events)
        assert isinstance(crossed, Fill)
        assert (crossed.quantity, crossed.price) == (Decimal("0.02"), Decimal("1000.5"))
        await anext(events)
        await venue.cancel_all("")
        last = await anext(events)
        assert isinstance(last, OrderUpdate)
        assert (last.fate, last.filled) == (Fate.CANCELLED, Decimal("0.02"))
        assert (await venue.query("BTCUSDT", "p-9")) is None
        rules = await venue.instrument("BTCUSDT")
        assert (rules.tick_size, rules.lot_size) == (Decimal("0.1"), Decimal("0.001"))
        with pytest.raises(RefusedError):
            await venue.cancel("BTCUSDT", "p-1")
        await venue.close()

    asyncio.run(story())


CONFIG = """
feed = "{feed}"
strategy_cpu = -1
gateway_cpu = -1
kill_file = "{folder}/kill"
[strategy.parameters]
fast = 2
slow = 5
[risk]
order_size = "0.006"
max_position = "0.06"
max_order_rate = 50
price_band = 0.2
"""


def test_runtime_on_paper_needs_neither_venue_nor_key(
    make_writer: MakeWriter, feed: str, tmp_path: Path
) -> None:
    config = tmp_path / "runtime.toml"
    config.write_text(CONFIG.format(feed=feed, folder=tmp_path))
    with Market(make_writer(capacity=65536)):
        result = subprocess.run(
            [
                *(sys.executable, "-m", "quietcore", "run", "--config", str(config), "--json"),
                *("--seconds", "4", "--status", str(tmp_path / "runtime.json")),
            ],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": str(RUNTIME)},
            timeout=110,
            check=False,
        )
    assert result.returncode == 0, result.stderr
    final = json.loads(result.stdout)
    assert final["mode"] == "paper"
    assert final["fills"] >= 1
    assert final["orders"]["open"] == 0
    assert final["compiled_since_ready"] == 0
    assert (tmp_path / "heartbeat").exists()


def picture(**values: int) -> Any:
    made = Workspace(1, 1, np.dtype([("x", "<i8")]))
    made.counters[DROPPED] = values.get("dropped", 0)
    for _ in range(values.get("samples", 0)):
        record(made.buckets, made.hops, PUBLISHED_READ, values.get("latency", 0))
    return made


def degraded(account: Account) -> int:
    return account._values[DEGRADED]


def test_degrades_on_drops_and_recovers() -> None:
    assert FIRST == 0
    account, said = Account(), list[str]()
    judge = Degrader(DegradeConfig(max_drops=5, recover_after=2), account, said.append)
    judge.judge(picture(dropped=100))
    assert degraded(account) == 0, "what was lost before is not this second's"
    judge.judge(picture(dropped=105))
    assert degraded(account) == 0
    judge.judge(picture(dropped=111))
    assert degraded(account) == -1
    assert "6 ticks lost" in judge.reason
    judge.judge(picture(dropped=111))
    assert degraded(account) == -1, "one good second is not enough"
    judge.judge(picture(dropped=111))
    assert (degraded(account), judge.reason) == (0, "")
    assert ["degraded, only reducing" in said[0], "no longer" in said[1]] == [True, True]


def test_degrades_on_latency_by_share() -> None:
    account, said = Account(), list[str]()
    config = DegradeConfig(max_latency_us=50.0, action="reduce", share=0.25)
    judge = Degrader(config, account, said.append)
    judge.judge(picture(samples=100, latency=1_000_000))
    assert degraded(account) == 0, "the first picture only begins"
    slow = picture(samples=100, latency=1_000_000)
    for _ in range(20):
        record(slow.buckets, slow.hops, PUBLISHED_READ, 80_000)
    judge.judge(slow)
    assert degraded(account) == 250
    assert "p99" in judge.reason
    assert "25% of each size" in said[0]

"""A short run of the scenarios at every test run; the whole by `python -m tests.scenarios.campaign`."""

from __future__ import annotations

import asyncio
import pickle

import pytest
from tests.scenarios import campaign, virtual_time
from tests.scenarios.campaign import caught, share, summary
from tests.scenarios.planted import PLANTED
from tests.scenarios.story import FAULTS, Outcome, play

from quietcore.sim.refusal import Reject

COUNT = 250


@pytest.fixture(scope="module")
def found() -> dict[str, object]:
    return summary(play(seed) for seed in range(COUNT))


@pytest.mark.timeout(600)
def test_every_invariant_holds_under_every_fault(found: dict[str, object]) -> None:
    print(found)
    assert found["broken"] == []
    faults = found["faults"]
    assert isinstance(faults, dict)
    assert len(faults) == len(FAULTS) == 17
    assert min(faults.values()) >= 200 * COUNT // 10_000, faults
    assert found["guard_fired"]
    assert found["kill_switch"]
    assert found["by_socket"]
    assert found["fell_back"]
    assert found["switches"]
    for name in ("refused_starts", "hedge_starts", "forgotten", "moved"):
        assert found[name], name
    pages = found["pages"]
    assert isinstance(pages, int)
    assert pages > COUNT  # lists that are longer than a page, their cursors signed as they were sent


def test_every_limit_is_met(found: dict[str, object]) -> None:
    refused = found["refused"]
    assert isinstance(refused, dict)
    for name in (
        "order size limit",
        "order value limit",
        "position limit",
        "too many open orders",
        "order rate",
        "price outside the band",
        "would cross an own order",
        "loss limit",
        "kill switch",
        "price or size not positive",
    ):
        assert refused.get(name, 0) > 0, name


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", PLANTED)
def test_planted_bug_is_caught(name: str) -> None:
    scenario, how = caught(PLANTED[name])
    assert scenario, f"{name} went unseen"
    print(f"{name}: scenario {scenario}: {how}")


def test_a_scenario_follows_from_its_seed() -> None:
    assert play(11) == play(11)
    assert play(11) != play(12)


def test_the_parts_of_a_campaign_are_the_whole() -> None:
    assert share(5, 10, {}) == (0, range(5, 15))
    parts = [share(5, 10, {"QUIETCORE_PART": str(part), "QUIETCORE_PARTS": "3"}) for part in range(3)]
    assert [number for number, _ in parts] == [0, 1, 2]
    assert [seed for _, seeds in parts for seed in seeds] == list(range(5, 15))


def test_virtual_time_jumps_and_ends() -> None:
    async def hours() -> float:
        loop = asyncio.get_running_loop()
        began = loop.time()
        await asyncio.sleep(3600)
        return loop.time() - began

    assert virtual_time.run(hours()) == pytest.approx(3600)

    async def never() -> None:
        await asyncio.Event().wait()

    with pytest.raises(RuntimeError, match="nothing is left to happen"):
        virtual_time.run(never())


def test_what_a_scenario_raises_is_what_broke(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may not end the process that plays it: the campaign would wait for that one for ever."""

    def raises(seed: int, parts: object) -> Outcome:
        raise Reject(10006, "nobody caught this")

    monkeypatch.setattr(campaign, "play", raises)
    outcome = pickle.loads(pickle.dumps(campaign.one(7)))
    assert outcome.seed == 7
    assert "nobody caught this" in outcome.broken
    assert "in raises" in outcome.broken

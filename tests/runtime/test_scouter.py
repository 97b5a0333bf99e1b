"""The scouter against local TLS servers with delays: what it elects, when it changes its mind, what it may open."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop
from tests.runtime.delayed_venue import HOST, DelayedVenue

from quietcore.cli.main import main
from quietcore.errors import ExitCode, QuietcoreError
from quietcore.scout import DynamicAPIScouter, probe
from quietcore.scout.budget import ConnectionBudget
from quietcore.scout.history import History, load
from quietcore.scout.probe import Candidate, Measurement
from quietcore.scout.ranking import ALWAYS, HYSTERESIS, Record, elect, ranked
from quietcore.venues.bybit.hosts import REGIONS
from quietcore.venues.interface import Target
from quietcore.venues.registry import endpoint_targets, targets_of_urls

MS = 1_000_000
ADDRESSES = ("127.0.0.2", "127.0.0.3", "127.0.0.4")


def run(work: Coroutine[Any, Any, None]) -> None:
    uvloop.run(work)


def scouter(venue: DelayedVenue, **options: Any) -> DynamicAPIScouter:
    urls = [venue.url("ws"), venue.url("http")]
    return DynamicAPIScouter(
        options.pop("check_interval", 0.05),
        options.pop("switch_interval", 0.2),
        targets=targets_of_urls("bybit-linear", urls),
        tls_ca=str(venue.ca),
        resolve=venue.resolve,
        **options,
    )


async def until(condition: Callable[[], Any], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        await asyncio.sleep(0.005)


def test_elects_the_fastest_address_of_each_kind(tmp_path: Path) -> None:
    async def work() -> None:
        async with DelayedVenue(tmp_path, ADDRESSES, 0.15) as venue:
            venue.sites["127.0.0.3"].delay = 0.001
            scout = scouter(venue)
            with pytest.raises(QuietcoreError, match="nothing is elected yet"):
                scout.get_fastest_endpoints()
            await scout.start()
            assert scout.get_fastest_endpoints() == (venue.url("ws"), venue.url("http"))
            assert scout.pins == {HOST: "127.0.0.3"}
            for kind in ("websocket", "rest"):
                standings = scout.standings(kind)
                assert standings[0].candidate.address == "127.0.0.3"
                assert len(standings) == 3
                best = standings[0]
                assert best.reliability == 1.0
                assert best.last.tcp_ns > 0
                assert 0 < best.median_ns < 150_000_000
                assert best.last.tls_ns > 0
                assert standings[1].median_ns >= 150_000_000
            await scout.stop()

    run(work())


def test_goes_over_when_another_becomes_faster_and_tells(tmp_path: Path) -> None:
    """Within 500 ms of the measurements that show it, the elected endpoint is another and the callback is done."""

    async def work() -> None:
        async with DelayedVenue(tmp_path, ADDRESSES, 0.02) as venue:
            venue.sites["127.0.0.2"].delay = 0.001
            scout = scouter(venue)
            told: list[tuple[str, str, str]] = []

            async def changed(websocket: str, rest: str) -> None:
                told.append((websocket, rest, scout.pins[HOST]))

            scout.set_endpoint_change_callback(changed)
            await scout.start()
            assert scout.pins[HOST] == "127.0.0.2"
            assert told == []
            venue.sites["127.0.0.2"].delay = 0.06
            venue.sites["127.0.0.4"].delay = 0.001
            await until(lambda: scout.elected["websocket"].address == "127.0.0.4")  # type: ignore[union-attr]
            # Both kinds may go over by way of another that measured well for a moment.
            await until(lambda: told and told[-1][2] == "127.0.0.4")
            assert told[-1] == (venue.url("ws"), venue.url("http"), "127.0.0.4")
            await scout.stop()
            elections = [entry for entry in scout.history.entries if entry["event"] == "elected"]
            assert {entry["kind"] for entry in elections} == {"websocket", "rest"}
            left = {entry["before"]["address"] for entry in elections if entry["before"]}
            assert "127.0.0.2" in left

    run(work())


def test_an_elected_endpoint_that_fails_is_left_at_once(tmp_path: Path) -> None:
    async def work() -> None:
        async with DelayedVenue(tmp_path, ADDRESSES[:2], 0.02) as venue:
            venue.sites["127.0.0.2"].delay = 0.0
            scout = scouter(venue, switch_interval=3600.0)
            await scout.start()
            assert scout.pins[HOST] == "127.0.0.2"
            venue.sites["127.0.0.2"].broken = True
            broken = time.monotonic()
            await until(lambda: scout.pins[HOST] == "127.0.0.3")
            assert time.monotonic() - broken < 2.0, "two checks, not an hour"
            await scout.stop()
            failed = ranked(scout.records, "rest")[-1]
            assert failed.score_ns is None
            assert "HTTP 503" in failed.last.error

    run(work())


def test_a_callback_that_fails_ends_nothing(tmp_path: Path) -> None:
    async def work() -> None:
        async with DelayedVenue(tmp_path, ADDRESSES[:2], 0.02) as venue:
            venue.sites["127.0.0.2"].delay = 0.01
            scout = scouter(venue, policy=ALWAYS)
            await scout.start()
            await until(lambda: scout.pins.get(HOST) == "127.0.0.2")

            def changed(websocket: str, rest: str) -> None:
                raise RuntimeError("listener's own fault")

            scout.set_endpoint_change_callback(changed)
            venue.sites["127.0.0.3"].delay = 0.0
            await until(lambda: scout.problems)
            assert "listener's own fault" in scout.problems[0]
            rounds = scout.rounds
            await until(lambda: scout.rounds > rounds)
            await scout.stop()

    run(work())


def test_nothing_answers(tmp_path: Path) -> None:
    async def work() -> None:
        async with DelayedVenue(tmp_path, ADDRESSES[:1]) as venue:
            venue.sites["127.0.0.2"].broken = True
            with pytest.raises(
                QuietcoreError, match=r"no endpoint answers: websocket, rest; found HTTP 503"
            ) as raised:
                await scouter(venue).start()
            assert raised.value.code is ExitCode.UNKNOWN
            venue.resolved = []
            with pytest.raises(QuietcoreError, match="found no address"):
                await scouter(venue).start()

    run(work())


def test_a_certificate_of_another_authority_is_a_failure(tmp_path: Path) -> None:
    async def work() -> None:
        async with DelayedVenue(tmp_path, ADDRESSES[:1]) as venue:
            scout = DynamicAPIScouter(
                targets=targets_of_urls("bybit-linear", [venue.url("http")]), resolve=venue.resolve
            )
            with pytest.raises(QuietcoreError, match="certificate verify failed"):
                await scout.start()

    run(work())


def test_connections_stay_within_the_budget(tmp_path: Path) -> None:
    async def work() -> None:
        async with DelayedVenue(tmp_path, ADDRESSES) as venue:
            scout = scouter(venue, budget=ConnectionBudget(14, 300.0))
            await scout.start()
            await until(lambda: scout.rounds >= 12)
            await scout.stop()
            opened = sum(site.handshakes for site in venue.sites.values())
            entries = [entry for entry in scout.history.entries if entry["event"] == "measured"]
            assert len(entries) == 14
            assert opened == sum(entry["kind"] == "websocket" for entry in entries)
            assert scout.budget.withheld > 0

    run(work())


def test_budget_in_any_period() -> None:
    now = [0.0]
    budget = ConnectionBudget(2, 10.0, lambda: now[0])
    assert [budget.take("a") for _ in range(3)] == [True, True, False]
    assert budget.take("b"), "another domain has its own"
    now[0] = 9.9
    assert not budget.take("a")
    now[0] = 10.0
    assert [budget.take("a") for _ in range(3)] == [True, True, False]
    assert budget.withheld == 3


def test_only_the_best_are_measured_every_time() -> None:
    targets = targets_of_urls("bybit-linear", ["https://venue.test"])
    scout = DynamicAPIScouter(top_n=3, targets=targets)
    present = {Candidate(targets[0], f"192.0.2.{i}"): 0 for i in range(8)}
    for i, one in enumerate(present):
        scout.records[one] = Record(one)
        for _ in range(2):
            scout.records[one].add(Measurement(0.0, 0, 0, 0, (i + 1) * MS))
    names = list(present)
    rounds = [scout._due(present) for _ in range(10)]
    assert all(due[:3] == names[:3] and len(due) == 4 for due in rounds)
    assert {due[3] for due in rounds} == set(names[3:]), "the others are looked at in turn"
    fresh = Candidate(targets[0], "192.0.2.99")
    scout.records[fresh] = Record(fresh)
    assert fresh in scout._due({**present, fresh: 0})
    scout.elected["rest"] = names[7]
    del present[names[7]]
    assert names[7] in scout._due(present), "in use, even where it is no longer resolved"
    assert len(scout.standings("rest")) == 3


def candidate(name: str) -> Candidate:
    return Candidate(Target("rest", name, 443, True, "/"), "192.0.2.1")


def record(name: str, *trips: int | None) -> Record:
    made = Record(candidate(name))
    for trip in trips:
        made.add(Measurement(0.0, 0, 0, 0, trip or 0, "" if trip else "lost"))
    return made


@pytest.mark.parametrize(
    ("other", "policy", "changes"),
    [
        ([10 * MS] * 5, HYSTERESIS, False),
        ([9.5 * MS] * 5, HYSTERESIS, False),
        ([8.5 * MS] * 5, HYSTERESIS, True),
        ([9.5 * MS] * 5, ALWAYS, True),
        ([11 * MS] * 5, ALWAYS, False),
        ([5 * MS, None, 5 * MS, None, 5 * MS], HYSTERESIS, False),  # 5 / 0.6² = 13.9
        ([1 * MS, 40 * MS, 1 * MS, 40 * MS, 20 * MS], HYSTERESIS, False),  # median 20, and restless
        ([1 * MS, 1 * MS, 1 * MS, None, None], ALWAYS, False),  # failing now
        ([1 * MS], ALWAYS, False),  # seen once
    ],
)
def test_election(other: list[Any], policy: str, changes: bool) -> None:
    ours, another = record("ours", *[10 * MS] * 5), record("other", *other)
    records = {one.candidate: one for one in (ours, another)}
    found = elect(ours.candidate, ranked(records, "rest"), policy)
    assert found == (another.candidate if changes else ours.candidate)


def test_one_outlier_does_not_count() -> None:
    assert record("a", *[10 * MS] * 9, 900 * MS).score().score_ns == 10 * MS


def test_below_the_noise_nothing_changes() -> None:
    ours, another = record("ours", *[90_000] * 5), record("other", *[60_000] * 5)
    records = {one.candidate: one for one in (ours, another)}
    assert elect(ours.candidate, ranked(records, "rest"), HYSTERESIS) == ours.candidate
    assert elect(ours.candidate, ranked(records, "rest"), ALWAYS) == another.candidate
    assert elect(None, [], ALWAYS) is None


def test_the_accounts_region() -> None:
    for region in REGIONS:
        hosts = {target.host for target in endpoint_targets("bybit-linear", region, False)}
        assert all(host.endswith((".com", f".{region}")) for host in hosts)
        assert {target.kind for target in endpoint_targets("bybit-linear", region, False)} == {
            "websocket",
            "rest",
        }
    assert "api.bybit.com" not in {target.host for target in endpoint_targets("bybit-linear", "tr", False)}
    testnet = DynamicAPIScouter(testnet=True)
    assert {target.host for target in testnet.targets} == {
        "stream-testnet.bybit.com",
        "api-testnet.bybit.com",
    }
    with pytest.raises(QuietcoreError, match=r"unknown region.*global"):
        DynamicAPIScouter(region="atlantis")
    with pytest.raises(QuietcoreError, match="unknown venue"):
        DynamicAPIScouter(venue="nowhere")


@pytest.mark.parametrize(
    "options", [{"check_interval": 0}, {"switch_interval": -1}, {"top_n": 0}, {"policy": "sometimes"}]
)
def test_values_that_cannot_be(options: dict[str, Any]) -> None:
    with pytest.raises(QuietcoreError, match="bad value"):
        DynamicAPIScouter(**options)


@pytest.mark.parametrize("url", ["ftp://host", "wss://", "https://host/path", "https://host:port", "host"])
def test_urls_that_cannot_be(url: str) -> None:
    with pytest.raises(QuietcoreError, match="bad URL"):
        targets_of_urls("bybit-linear", [url])


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"x" * 100_000,
        b"",
        b"HTTP/1.1 404 Not Found\r\n\r\n",
    ],
)
@pytest.mark.parametrize("kind", ["websocket", "rest"])
def test_bad_answers_are_failures_not_crashes(kind: str, answer: bytes) -> None:
    async def work() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        target = Target(kind, "127.0.0.1", port, False, "/", "{}")
        found = await probe.measure(Candidate(target, "127.0.0.1"), None, 2.0)
        server.close()
        assert found.error
        assert "\n" not in found.error
        assert found.tcp_ns > 0

    asyncio.run(work())


def test_history_is_kept_bounded_and_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "deep" / "history.jsonl"

    async def work() -> None:
        async with DelayedVenue(tmp_path, ADDRESSES[:2], 0.004) as venue:
            venue.sites["127.0.0.2"].delay = 0.0
            scout = scouter(venue, history=path)
            await scout.start()
            await until(lambda: scout.rounds >= 5)
            await scout.stop()

    run(work())
    entries = load(path)
    assert sum(entry["event"] == "elected" for entry in entries) == 2
    with path.open("a") as file:
        file.write('{"event": "meas')  # killed while it wrote
    assert load(path) == entries
    assert main(["scout", "--show", str(path), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert {(row["kind"], row["address"]) for row in shown["candidates"] if row["elected"]} == {
        ("websocket", "127.0.0.2"),
        ("rest", "127.0.0.2"),
    }
    assert main(["scout", "--show", str(path)]) == 0
    assert "127.0.0.3" in capsys.readouterr().out
    path.write_text("no json\n{}\n")
    assert main(["scout", "--show", str(path)]) == ExitCode.UNKNOWN
    assert f"{path}:1" in capsys.readouterr().err
    monkeypatch.setattr("quietcore.scout.history.MOST_BYTES", 1000)
    history = History(tmp_path / "bounded")
    for i in range(200):
        history.save([{"i": i}])
    lines = (tmp_path / "bounded").read_text().splitlines()
    assert len(lines) < 150
    assert json.loads(lines[-1]) == {"i": 199}
    bad = History(tmp_path)
    with pytest.raises(QuietcoreError, match="history cannot be written"):
        bad.save([{}])


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import threading

    ready, stop, ports = threading.Event(), threading.Event(), []

    def serve() -> None:
        async def work() -> None:
            async with DelayedVenue(tmp_path, ["127.0.0.1"], tls=False) as venue:
                ports.append(venue.port)
                ready.set()
                while not stop.is_set():  # noqa: ASYNC110 -- a thread's event
                    await asyncio.sleep(0.01)

        asyncio.run(work())

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        assert ready.wait(20)
        urls = ["--url", f"ws://127.0.0.1:{ports[0]}", "--url", f"http://127.0.0.1:{ports[0]}"]
        assert main(["scout", *urls, "--seconds", "0.3", "--interval", "0.1", "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["rest"] == f"http://127.0.0.1:{ports[0]}"
        assert found["rounds"] >= 3
        assert all(row["elected"] and row["tls_ns"] == 0 for row in found["candidates"])
        assert main(["scout", *urls, "--seconds", "0.2", "--interval", "0.1"]) == 0
        assert "fastest" in capsys.readouterr().out
    finally:
        stop.set()
        thread.join()
    assert main(["scout", "--seconds", "0"]) == ExitCode.USAGE

"""Messages a second through parser, book and ring, against a baseline, a limit and other projects."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any

from pairing import paired
from peers_environment import ensure_peers
from results import Result
from windowed_recording import describe, windowed_messages
from worker import Worker

BINANCE = "binance-usdm-btcusdt-20240808.gz"
XRP = "bybit-linear-xrpusdt-ob500-20241201.jsonl"

IN_PROCESS = [("plain approach", "plain", 2.0), ("simdjson walk", "simdjson-walk", 0.9)]
PEERS = [
    ("orjson, two dicts", "orjson_dicts.py", 12.0),
    ("cryptofeed", "cryptofeed_bybit.py", 35.0),
    ("nautilus_trader", "nautilus_bybit.py", 45.0),
    ("pybit", "pybit_orderbook.py", 60.0),
]


class DisagreementError(Exception):
    """Two contenders ended with different best prices: what they measure is not the same work."""


def inputs(data: Path, out: Path) -> dict[str, Path]:
    """Return the inputs by name, deriving the windowed ones where they are not there yet."""
    found: dict[str, Path] = {}
    out.mkdir(parents=True, exist_ok=True)
    for window in (50, 200):
        path = out / f"windowed-ob{window}.jsonl"
        if not path.exists():
            beside = path.with_suffix(".new")
            with beside.open("wb") as file:
                file.writelines(message + b"\n" for message in windowed_messages(data / BINANCE, window))
            beside.rename(path)
        found[f"ob{window}"] = path
    found["xrp-ob500"] = data / XRP
    return found


def rate(answer: dict[str, Any]) -> float:
    """Return operations a second of a block."""
    return float(answer["operations"]) / float(answer["seconds"])


def interleave(
    reference: Callable[[], float], value: Callable[[], float], pairs: int
) -> tuple[list[float], list[float]]:
    """Measure reference, value, reference, value … reference."""
    references, values = [reference()], []
    for _ in range(pairs):
        values.append(value())
        references.append(reference())
    return references, values


def same_prices(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Tell whether two answers end at the same best bid and ask."""
    return all(Decimal(one[key]) == Decimal(other[key]) for key in ("bid", "ask"))


def measure(
    native: Worker, root: Path, data: Path, *, seconds: float, pairs: int, peers: bool, cpu: int
) -> Iterator[Result]:
    """Yield the results of each input: against each reference, then the distribution over messages."""
    with ExitStack() as stack:
        others: list[tuple[str, Worker, str, float]] = [
            (label, native, case, goal) for label, case, goal in IN_PROCESS
        ]
        if peers:
            python = ensure_peers(root)
            for label, script, goal in PEERS:
                command = [str(python), str(Path(__file__).parent / "peers" / script)]
                others.append((label, stack.enter_context(Worker(label, command, cpu)), script, goal))
        for name, path in inputs(data, root / "build/bench/data").items():
            facts = {"input": describe(path)}
            product = native.block("feed", path, 0)
            for label, worker, case, goal in others:
                once = worker.block(case, path, 0)
                if "bid" in once and not same_prices(once, product):
                    raise DisagreementError(
                        f"{label} on {path}: best {once['bid']} / {once['ask']}; "
                        f"expected {product['bid']} / {product['ask']} as the feed handler has it"
                    )
                references, values = interleave(
                    lambda worker=worker, case=case, path=path: rate(worker.block(case, path, seconds)),  # type: ignore[misc]
                    lambda path=path: rate(native.block("feed", path, seconds)),  # type: ignore[misc]
                    pairs,
                )
                version = {"version": worker.version} if worker is not native else {}
                yield Result(
                    name=f"feed {name} / {label}",
                    value=statistics.median(values),
                    unit="messages/s",
                    reference=label,
                    reference_value=statistics.median(references),
                    ratio=paired(references, values),
                    goal=goal,
                    facts=facts | version,
                )
            yield from distribution(name, native.block("feed-latency", path, seconds * pairs), facts)


def distribution(name: str, answer: dict[str, Any], facts: dict[str, Any]) -> Iterator[Result]:
    """Yield mean and percentiles of the time from the message's bytes to its last tick, snapshots apart."""
    for kind in ("delta", "snapshot"):
        for figure in ("mean", "p50", "p99", "p999"):
            key = f"{kind}_{figure}_ns"
            if key in answer:
                samples = {"samples": int(answer[f"{kind}_count"])}
                yield Result(f"feed {name} {kind} {figure}", answer[key], "ns", facts=facts | samples)

"""Microseconds from an order's fields to a signed request, beside other projects' clients."""

from __future__ import annotations

import hashlib
import hmac
import json
import statistics
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from feed_plan import DisagreementError, interleave
from pairing import paired
from peers_environment import ensure_peers
from results import Result
from serve_orders import KEY, ORDER, SECRET
from worker import Worker

FOLDER = Path(__file__).parent / "peers"
PEERS = [("pybit", "pybit_orders.py"), ("ccxt", "ccxt_orders.py")]


def microseconds(answer: dict[str, Any]) -> float:
    """Return how long an operation of a block took."""
    return 1e6 * float(answer["seconds"]) / float(answer["operations"])


def check(label: str, answer: dict[str, Any]) -> None:
    """Raise DisagreementError unless the whole order is in the body, and signed as the venue demands.

    HMAC-SHA256 over timestamp + key + recv_window + body: https://bybit-exchange.github.io/docs/v5/guide
    """
    headers = answer["headers"]
    text = f"{headers['X-BAPI-TIMESTAMP']}{KEY}{headers['X-BAPI-RECV-WINDOW']}{answer['body']}"
    expected = hmac.new(SECRET.encode(), text.encode(), hashlib.sha256).hexdigest()
    if headers["X-BAPI-SIGN"] != expected:
        raise DisagreementError(f"{label}: signature {headers['X-BAPI-SIGN']}; expected {expected}")
    sent = json.loads(answer["body"])
    missing = {name: value for name, value in ORDER.items() if str(sent.get(name)) != str(value)}
    if missing:
        raise DisagreementError(f"{label}: the request lacks {missing}")


def measure(root: Path, *, seconds: float, pairs: int, peers: bool, cpu: int) -> Iterator[Result]:
    """Yield ours alone, or beside each peer."""
    with ExitStack() as stack:
        ours = stack.enter_context(
            Worker("quietcore", [sys.executable, str(FOLDER / "quietcore_orders.py")], cpu)
        )
        check("quietcore", ours.block("sign", "-", 0))

        def own() -> float:
            return microseconds(ours.block("sign", "-", seconds))

        if not peers:
            yield Result("order, encoded and signed", statistics.median(own() for _ in range(pairs)), "µs")
            return
        python = str(ensure_peers(root))
        for label, script in PEERS:
            worker = stack.enter_context(Worker(label, [python, str(FOLDER / script)], cpu))
            check(label, worker.block("sign", "-", 0))
            references, values = interleave(
                lambda worker=worker: microseconds(worker.block("sign", "-", seconds)),  # type: ignore[misc]
                own,
                pairs,
            )
            yield Result(
                name=f"order, encoded and signed / {label}",
                value=statistics.median(values),
                unit="µs",
                reference=label,
                reference_value=statistics.median(references),
                ratio=paired(references, values),
                facts={"version": worker.version},
            )

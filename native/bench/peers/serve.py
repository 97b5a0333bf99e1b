"""What the peers' programs have in common: answering requests for blocks, as quietcore-bench does."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Protocol


class Peer(Protocol):
    """A program that keeps a book from messages as they were on the wire."""

    def take(self, message: bytes) -> None:
        """Parse one message and apply it."""

    def best(self) -> tuple[str, str]:
        """Return the best bid's and the best ask's price."""


def serve(distribution: str, make: Callable[[str], Peer]) -> None:
    """Answer `CASE INPUT SECONDS` lines until the input ends; `make` gets the symbol.

    Each block runs whole passes over the input, every one from its snapshot on, for at least SECONDS.
    """
    print(json.dumps({"ready": True, "version": f"{distribution} {version(distribution)}"}), flush=True)
    inputs: dict[str, list[bytes]] = {}
    for line in sys.stdin:
        _, path, seconds = line.split()
        if path not in inputs:
            inputs[path] = Path(path).read_bytes().splitlines()
        messages = inputs[path]
        peer = make(json.loads(messages[0])["data"]["s"])
        take = peer.take
        operations = 0
        begin = time.perf_counter()
        while True:
            for message in messages:
                take(message)
            operations += len(messages)
            elapsed = time.perf_counter() - begin
            if elapsed >= float(seconds):
                break
        bid, ask = peer.best()
        print(json.dumps({"operations": operations, "seconds": elapsed, "bid": bid, "ask": ask}), flush=True)

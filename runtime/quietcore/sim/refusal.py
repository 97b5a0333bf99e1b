"""A request that the venue refuses."""

from __future__ import annotations


class Reject(Exception):  # noqa: N818 - an answer to a client
    """A refusal: the venue's code and its words (bybit-exchange.github.io/docs/v5/error)."""

    def __init__(self, code: int, message: str) -> None:
        self.code = code
        super().__init__(message)

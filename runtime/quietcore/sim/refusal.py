"""A request that the venue refuses."""

from __future__ import annotations

from collections.abc import Mapping


class Reject(Exception):  # noqa: N818 - an answer to a client
    """A refusal: the venue's code and its words (bybit-exchange.github.io/docs/v5/error).

    `headers` go with the answer: the state of a rate limit.
    """

    def __init__(self, code: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        self.code = code
        self.headers = dict(headers or {})
        super().__init__(message)


class HttpRefusal(Exception):  # noqa: N818 - an answer to a client
    """A refusal before the venue's service is reached: a status, a body that is not the service's own."""

    def __init__(self, status: int, body: str, content_type: str, headers: Mapping[str, str]) -> None:
        self.status, self.body, self.content_type = status, body, content_type
        self.headers = dict(headers)
        super().__init__(f"HTTP {status}")

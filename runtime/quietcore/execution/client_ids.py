"""The ids of orders that a runtime of ours sends: which run, and which of its orders."""

from __future__ import annotations

import re

CLIENT_ID = re.compile(r"q[0-9a-f]{16}-[0-9]+")  # of any run of this runtime


def is_ours(client_id: str) -> bool:
    """Return whether an order was sent by a run of this runtime, this one or an earlier one."""
    return CLIENT_ID.fullmatch(client_id) is not None

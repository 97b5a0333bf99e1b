"""What happened between two looks at a host, a second."""

from __future__ import annotations

from typing import Any


def rates(before: dict[str, Any] | None, now: dict[str, Any]) -> dict[str, Any]:
    """Return ``feeds`` (ticks and messages a second by feed) and ``orders``, ``fills``, ``ticks_read``.

    None stands where nothing can be told: at the first look, or where a counter began anew.
    """
    nothing: dict[str, Any] = {"feeds": {}, "orders": None, "fills": None, "ticks_read": None}
    if before is None or now["time"] <= before["time"]:
        return nothing
    seconds = now["time"] - before["time"]

    def rate(earlier: int, later: int) -> float | None:
        return None if later < earlier else (later - earlier) / seconds

    for name, feed in now["feeds"].items():
        last = before["feeds"].get(name, {"error": ""})
        if "error" in feed or "error" in last or last["epoch"] != feed["epoch"]:
            continue
        nothing["feeds"][name] = {
            "ticks": rate(last["published"], feed["published"]),
            "messages": rate(last["statistics"]["messages"], feed["statistics"]["messages"]),
        }
    status, earlier = now["runtime"], before["runtime"]
    if status is None or earlier is None or status["started"] != earlier["started"]:
        return nothing
    # The runtime writes its status now and then: what it counted is of the time between two writings.
    seconds = status["written"] - earlier["written"]
    if seconds > 0:
        nothing["orders"] = rate(earlier["orders"]["sent"], status["orders"]["sent"])
        nothing["fills"] = rate(earlier["fills"], status["fills"])
        nothing["ticks_read"] = rate(earlier["ticks"]["read"], status["ticks"]["read"])
    return nothing

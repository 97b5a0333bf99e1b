"""What the processes of a unit really run with: their limits and their scheduling."""

from __future__ import annotations

import re

from ..findings import Finding, Verdict
from ..machine import AbsentError, Machine, UnreadableError
from ..refusals import priority_refusal
from ..settings import Setting
from ..texts.tasks import read_limits
from ..threads import Thread, known_group, processes_of, read_threads, unit_of
from ..unreadable import EndedError
from .base import Context, Kind, cannot_tell, refuse, report

# Lines of /proc/PID/limits by the names that limits.conf(5) has for them.
_LINES = {
    "memlock": "Max locked memory",
    "nofile": "Max open files",
    "rtprio": "Max realtime priority",
}
_SCHEDULING = re.compile(r"other|(?:fifo|rr) (\d+)")


class ProcessesKind(Kind):
    """`name` is a unit or a pattern of units (`quietcore-feed@*.service`), `wanted` what its main threads have:

    `memlock`, `nofile`, `rtprio` at least as high, and `scheduling`: other, `fifo N` or `rr N`. Brought about by
    the unit's drop-ins when it starts.
    """

    name = "processes"
    applied = "the units' drop-ins, when they start"

    def effective(self, setting: Setting) -> str:
        """Return where the effective value is read."""
        return f"/proc/PID/limits and /proc/PID/stat of {setting.name}"

    def check(self, setting: Setting, machine: Machine) -> None:
        """Refuse unknown properties, and priorities that leave kernel threads no room."""
        known = (*_LINES, "scheduling")
        if not isinstance(setting.wanted, dict) or not setting.wanted:
            raise refuse(setting, "not properties of processes", ", ".join(known))
        for item, value in setting.wanted.items():
            text = str(value)
            if item not in known:
                raise refuse(setting, "unknown property of processes", ", ".join(known), item)
            if item == "scheduling":
                match = _SCHEDULING.fullmatch(text)
                if match is None:
                    raise refuse(setting, "not a way of scheduling", "other, fifo N or rr N", text)
                refusal = priority_refusal(match[1]) if match[1] else None
            elif text != "unlimited" and not text.isdecimal():
                raise refuse(setting, "not a limit", "a number or unlimited", f"{item}: {text}")
            else:
                refusal = priority_refusal(text) if item == "rtprio" else None
            if refusal is not None:
                raise refuse(setting, refusal[0], refusal[1], f"{item}: {text}")

    def judge(self, setting: Setting, context: Context) -> Finding:
        """Compare every running process with what is wanted."""
        machine = context.machine
        wrong: list[str] = []
        units: set[str] = set()
        try:
            threads = [
                thread
                for thread in read_threads(machine, processes_of(machine, setting.name))
                if thread.tid == thread.pid
            ]
            for thread in threads:
                differs = _differs(machine, thread, setting.wanted)
                if differs:
                    unit = unit_of(known_group(thread.pid, thread.group), setting.name)
                    wrong.append(f"{unit} ({thread.pid} {thread.name}): {', '.join(differs)}")
                    units.add(unit)
        except (AbsentError, UnreadableError, OSError) as error:
            return cannot_tell(setting, error)
        if not threads:
            return report(setting, Verdict.OK, "not running")
        if not wrong:
            return report(setting, Verdict.OK, f"all of {len(threads)} processes")
        return report(
            setting,
            Verdict.PENDING,
            "; ".join(wrong),
            "started before its drop-in was written, or changed since by hand",
            f"systemctl restart {' '.join(sorted(units))}, or reboot",
        )


def _differs(machine: Machine, thread: Thread, wanted: dict[str, object]) -> list[str]:
    """Return what is otherwise, nothing for a process that has ended meanwhile."""
    try:
        limits = read_limits(machine.read_raw(f"/proc/{thread.pid}/limits"), f"/proc/{thread.pid}/limits")
    except EndedError:
        return []
    except (AbsentError, UnreadableError):
        if machine.exists(f"/proc/{thread.pid}/limits"):
            raise
        return []
    found: list[str] = []
    for item, value in sorted(wanted.items()):
        if item == "scheduling":
            shown = f"{thread.policy} {thread.priority}" if thread.policy in ("fifo", "rr") else thread.policy
            if shown != value:
                found.append(f"scheduling {shown}")
            continue
        name = _LINES[item]
        if name not in limits:
            raise UnreadableError(f"/proc/{thread.pid}/limits has no line {name!r}")
        soft, hard = limits[name]
        if _number(soft) < _number(str(value)) or _number(hard) < _number(str(value)):
            found.append(f"{item} {soft} (hard {hard})")
    return found


def _number(text: str) -> float:
    return float("inf") if text == "unlimited" else float(text)

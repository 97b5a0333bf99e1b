"""The hardware watchdog, fed by systemd: where the kernel hangs, the hardware resets the host."""

from __future__ import annotations

from typing import Any

from ...errors import QuietcoreError
from ..findings import Finding, Verdict
from ..machine import AbsentError, Machine, UnreadableError
from ..settings import Setting
from ..targets import read_target
from ..texts.systemd_show import read_time_span
from ..units import properties
from .base import APPLY, Change, Context, Kind, cannot_tell, refuse, report, unsupported

DEVICE = "/dev/watchdog"
FILE = "/etc/systemd/system.conf.d/zz-quietcore-watchdog.conf"


class WatchdogKind(Kind):
    """`name` is `RuntimeWatchdogSec`, `wanted` seconds."""

    name = "watchdog"
    applied = "drop-in of systemd's configuration"
    needs_boot = True

    def effective(self, setting: Setting) -> str:
        """Return where the effective value is read."""
        return "systemctl show --property=RuntimeWatchdogUSec"

    def check(self, setting: Setting, machine: Machine) -> None:
        """Refuse what is no time."""
        if setting.name != "RuntimeWatchdogSec" or not 1 <= _seconds(setting) <= 86400:
            raise refuse(setting, "not a time for a watchdog", "1 to 86400 seconds")

    def judge(self, setting: Setting, context: Context) -> Finding:
        """Compare what systemd feeds the watchdog with, with what is wanted."""
        machine = context.machine
        if not machine.exists(DEVICE):
            return unsupported(
                setting,
                f"{DEVICE} does not exist: a kernel that hangs stays so until somebody resets the host",
            )
        try:
            there = read_target(machine, f"file:{FILE}")
            found = _effective(machine)
        except (AbsentError, UnreadableError) as error:
            return cannot_tell(setting, error)
        if there != _file(setting):
            return report(setting, Verdict.MISSING, f"{found:g} s", f"{FILE} is not as written", APPLY)
        if found != _seconds(setting):
            return report(
                setting, Verdict.PENDING, f"{found:g} s", "systemd takes it when it next starts", "reboot"
            )
        return report(setting, Verdict.OK, f"{found:g} s")

    def changes(self, setting: Setting, context: Context) -> list[Change]:
        """Return the file, where there is a watchdog and the file is another one."""
        if not context.machine.exists(DEVICE):
            return []
        try:
            found = read_target(context.machine, f"file:{FILE}")
        except UnreadableError as error:
            raise QuietcoreError(
                "cannot be read, so it is not replaced", where=FILE, found=str(error)
            ) from None
        return [] if found == _file(setting) else [Change(f"file:{FILE}", found, _file(setting))]

    def owns(self, setting: Setting, target: str) -> bool:
        """Tell whether the target is the file."""
        return target == f"file:{FILE}"


def _seconds(setting: Setting) -> int:
    try:
        return int(setting.wanted)
    except (TypeError, ValueError):
        return 0


def _file(setting: Setting) -> dict[str, Any]:
    content = (
        "# Written by Quietcore from /etc/quietcore/host.d; `quietcore revert` removes it. Edits are lost.\n"
        f"[Manager]\nRuntimeWatchdogSec={_seconds(setting)}s\n"
    )
    return {"content": content, "mode": "0644"}


def _effective(machine: Machine) -> float:
    """Return the seconds that systemd lets pass at most. Raises UnreadableError."""
    (manager,) = properties(machine, ("RuntimeWatchdogUSec",))[:1] or ({},)
    if not manager:
        raise UnreadableError("systemctl show RuntimeWatchdogUSec: no answer")
    return read_time_span(manager["RuntimeWatchdogUSec"], "RuntimeWatchdogUSec")

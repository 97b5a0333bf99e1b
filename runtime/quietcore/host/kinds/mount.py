"""A mounted file system: what is mounted where, and with which options."""

from __future__ import annotations

from ..findings import Finding, Verdict
from ..machine import AbsentError, Machine, UnreadableError
from ..settings import Setting
from ..texts.mounts import read_mounts
from .base import Context, Kind, cannot_tell, refuse, report

_MOUNTS = "/proc/mounts"


class MountKind(Kind):
    """`name` is the mount point, `wanted` the file system's `type` and the options that matter.

    A unit of systemd's, promised beside it, brings it about; here is seen whether that is what is mounted.
    """

    name = "mount"
    applied = "mounted by its own systemd unit"

    def effective(self, setting: Setting) -> str:
        """Return where the effective value is read."""
        return f"{_MOUNTS}: {setting.name}"

    def check(self, setting: Setting, machine: Machine) -> None:
        """Refuse what is no mount."""
        if (
            not setting.name.startswith("/")
            or not isinstance(setting.wanted, dict)
            or "type" not in setting.wanted
        ):
            raise refuse(setting, "not a mount", "an absolute path, and its type and options", setting.name)

    def judge(self, setting: Setting, context: Context) -> Finding:
        """Compare type and options of the last thing mounted there with those wanted."""
        try:
            found = mounted(context.machine, setting.name)
        except (AbsentError, UnreadableError) as error:
            return cannot_tell(setting, error)
        wanted = {name: str(value) for name, value in setting.wanted.items()}
        unit = unit_of(setting.name)
        if found is None:
            cause = "unmounted by hand, or its unit failed"
            return report(
                setting, Verdict.MISSING, "nothing is mounted there", cause, f"systemctl restart {unit}"
            )
        # The kernel shows no option that has its default value.
        shown = {name: found.get(name, "0" if name in ("uid", "gid") else "") for name in wanted}
        text = ", ".join(f"{name} {value or 'not shown'}" for name, value in shown.items())
        if shown == wanted:
            return report(setting, Verdict.OK, text)
        cause = "mounted with other options, or over it"
        return report(setting, Verdict.DRIFT, text, cause, f"systemctl restart {unit}, with nothing using it")


def mounted(machine: Machine, path: str) -> dict[str, str] | None:
    """Return `type` and options of what is mounted at a path, None where nothing is. Raises UnreadableError."""
    seen = [mount for mount in read_mounts(machine.read_raw(_MOUNTS), _MOUNTS) if mount.point == path]
    return {**seen[-1].options, "type": seen[-1].type} if seen else None


def unit_of(path: str) -> str:
    """Return the name of the unit that mounts a path of plain letters."""
    return path.strip("/").replace("/", "-") + ".mount"

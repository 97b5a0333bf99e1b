"""What a login session of a group may have: memory that it locks, open files, real-time priority."""

from __future__ import annotations

from collections.abc import Iterator

from ..findings import Finding, Verdict
from ..machine import AbsentError, Machine, UnreadableError
from ..refusals import priority_refusal
from ..settings import Setting
from .base import Change, Context, Kind, cannot_tell, refuse, report, unsupported

_ITEMS = ("memlock", "nofile", "nproc", "rtprio", "nice")
_MAIN, _FOLDER = "/etc/security/limits.conf", "/etc/security/limits.d"
_PAM = "/etc/pam.d"


class LimitsKind(Kind):
    """`name` is a group, `wanted` its limits by item (`memlock: unlimited`). Written by a file of the role's own;

    judged by what pam_limits makes of all its files: the last line for the group wins.
    """

    name = "limits"
    applied = "a file in limits.d"

    def effective(self, setting: Setting) -> str:
        """Return where the effective value is read."""
        return f"the last lines for @{setting.name} in {_MAIN} and {_FOLDER}, where a service of {_PAM} uses them"

    def check(self, setting: Setting, machine: Machine) -> None:
        """Refuse unknown items, and priorities that leave kernel threads no room."""
        if not isinstance(setting.wanted, dict) or not setting.wanted:
            raise refuse(setting, "not limits", "items with their values, such as memlock: unlimited")
        for item, value in setting.wanted.items():
            if item not in _ITEMS:
                raise refuse(setting, "unknown limit", ", ".join(_ITEMS), item)
            text = str(value)
            if text != "unlimited" and not text.removeprefix("-").isdecimal():
                raise refuse(setting, "not a limit", "a number or unlimited", f"{item}: {value}")
            refusal = priority_refusal(text) if item == "rtprio" else None
            if refusal is not None:
                raise refuse(setting, refusal[0], refusal[1], f"{item}: {value}")

    def judge(self, setting: Setting, context: Context) -> Finding:
        """Compare what a session would get with what is wanted."""
        machine = context.machine
        try:
            if not _used(machine):
                return unsupported(setting, f"no service in {_PAM} uses pam_limits")
            given = dict(_given(machine, setting.name))
        except (AbsentError, UnreadableError) as error:
            return cannot_tell(setting, error)
        wrong: list[str] = []
        causes: list[str] = []
        for item, value in sorted(setting.wanted.items()):
            for kind in ("soft", "hard"):
                path, found = given.get((item, kind), ("", "not set"))
                if found != str(value):
                    wrong.append(f"{item} {found} ({kind})")
                    causes.append(f"{path} sets {item} to {found}" if path else f"no file sets {item}")
        if not wrong:
            return report(
                setting, Verdict.OK, ", ".join(f"{k} {v}" for k, v in sorted(setting.wanted.items()))
            )
        overridden = any(" sets " in cause and not cause.startswith("no file") for cause in causes)
        return report(
            setting,
            Verdict.OVERRIDDEN if overridden else Verdict.MISSING,
            ", ".join(wrong),
            "; ".join(dict.fromkeys(causes)),
            f"remove these lines, or run the role {setting.role} again; then log in anew",
        )

    def changes(self, setting: Setting, context: Context) -> list[Change]:
        """Return nothing: the role's file brings it about."""
        return []


def _used(machine: Machine) -> bool:
    folder = machine.path(_PAM)
    if not folder.is_dir():
        return False
    for path in sorted(folder.iterdir()):
        for line in machine.read(f"{_PAM}/{path.name}").splitlines():
            if "pam_limits.so" in line and not line.lstrip().startswith("#"):
                return True
    return False


def _given(machine: Machine, group: str) -> Iterator[tuple[tuple[str, str], tuple[str, str]]]:
    """Yield ((item, soft or hard), (file, value)) for the group, in the order in which pam_limits reads."""
    names = sorted(path.name for path in machine.path(_FOLDER).glob("*.conf"))
    for path in [_MAIN, *(f"{_FOLDER}/{name}" for name in names)]:
        try:
            lines = machine.read(path).splitlines()
        except AbsentError:
            continue
        for line in lines:
            words = line.partition("#")[0].split()
            if len(words) == 4 and words[0] == f"@{group}":
                value = "unlimited" if words[3] in ("unlimited", "infinity", "-1") else words[3]
                for kind in ("soft", "hard") if words[1] == "-" else (words[1],):
                    yield (words[2], kind), (path, value)

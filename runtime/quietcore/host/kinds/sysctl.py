"""Sysctl keys: live below /proc/sys, and in one file of our own that sorts after the others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..findings import Finding, Verdict
from ..machine import AbsentError, Machine, UnreadableError
from ..refusals import CONTRADICTING_SYSCTL, EXCLUSIVE_SYSCTL, sysctl_refusal
from ..settings import Setting
from .base import APPLY, Change, Context, Kind, cannot_tell, refuse, report, unsupported

DROP_IN = "/etc/sysctl.d/zz-quietcore.conf"
_FOLDERS = ("/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d", "/lib/sysctl.d")


def sysctl_path(key: str) -> str:
    """Return the file of a key: dots part it, a slash stands for a dot within a part
    (`net.ipv4.conf.eth0/1.x`).
    """
    return "/proc/sys/" + key.translate(str.maketrans("./", "/."))


def drop_in_content(settings: Iterable[Setting], machine: Machine) -> str | None:
    """Return the content of our file, or None where nothing is promised.

    A dash stands before a key that this kernel lacks: systemd-sysctl then passes over it (sysctl.d(5)).
    """
    lines: list[str] = []
    for setting in settings:
        dash = "" if machine.exists(sysctl_path(setting.name)) else "-"
        lines += [f"# {setting.id}: {setting.why}", f"{dash}{setting.name} = {_wanted(setting)}"]
    if not lines:
        return None
    head = "# Written by Quietcore from /etc/quietcore/host.d; `quietcore revert` removes it. Edits are lost."
    return "\n".join([head, *lines]) + "\n"


class SysctlKind(Kind):
    """`name` is the key, `wanted` its value."""

    name = "sysctl"
    applied = "written live, and by a file in /etc/sysctl.d"
    settles = True

    def effective(self, setting: Setting) -> str:
        """Return where the effective value is read."""
        return sysctl_path(setting.name)

    def check(self, setting: Setting, machine: Machine) -> None:
        """Refuse dead keys, harmful values, and what can be no key; one that this kernel lacks is judged."""
        refusal = sysctl_refusal(setting.name, _wanted(setting))
        if refusal is not None:
            raise refuse(
                setting,
                f"{setting.name} is refused: {refusal[0]}",
                refusal[1],
                f"{setting.name}: {setting.wanted}",
            )
        if any(letter.isspace() or letter in "#;=" for letter in setting.name) or "\n" in str(setting.wanted):
            raise refuse(
                setting, "not a sysctl key and value", "a key such as net.core.rmem_max", repr(setting.name)
            )

    def judge(self, setting: Setting, context: Context) -> Finding:
        """Compare the live value with the wanted one, then see whether the next boot will bring it again."""
        machine = context.machine
        try:
            found = " ".join(machine.read(sysctl_path(setting.name)).split())
        except AbsentError:
            path = sysctl_path(setting.name)
            cause = f"{path} does not exist: built without it, its module not loaded, or misspelt"
            return unsupported(setting, cause)
        except UnreadableError as error:
            return cannot_tell(setting, error)
        if found != _wanted(setting):
            for path, value in _other_values(machine, setting.name):
                if value == found:
                    return report(
                        setting,
                        Verdict.OVERRIDDEN,
                        found,
                        f"{path} sets it too",
                        f"remove it from {path}, then {APPLY}",
                    )
            return report(setting, Verdict.DRIFT, found, "changed by hand or by another program", APPLY)
        if not any(key == setting.name and value == found for key, value in _pairs(machine, DROP_IN)):
            return report(
                setting,
                Verdict.MISSING,
                f"{found}, until the next boot",
                f"{DROP_IN} does not have it",
                APPLY,
            )
        return report(setting, Verdict.OK, found)

    def baseline(self, setting: Setting) -> tuple[str, ...]:
        """Return what it writes."""
        return (f"value:{sysctl_path(setting.name)}",)

    def changes(self, setting: Setting, context: Context) -> list[Change]:
        """Return the write, where the live value is another one."""
        path = sysctl_path(setting.name)
        try:
            found = " ".join(context.machine.read(path).split())
        except (AbsentError, UnreadableError):
            return []
        wanted = _wanted(setting)
        return [] if found == wanted else [Change(f"value:{path}", found, wanted)]

    def owns(self, setting: Setting, target: str) -> bool:
        """Tell whether the target is the key's file."""
        return target == f"value:{sysctl_path(setting.name)}"


def check_related(settings: Iterable[Setting], machine: Machine) -> None:
    """Refuse keys that exclude each other, or that make no sense together. Raises QuietcoreError."""
    by_key = {setting.name: setting for setting in settings}
    for first, second in EXCLUSIVE_SYSCTL:
        if first in by_key and second in by_key:
            raise refuse(
                by_key[first],
                f"{first} and {second} exclude each other",
                "one of the two",
                f"{first}, {second}",
            )
    values = {key: _wanted(setting) for key, setting in by_key.items()}
    for (key, value), others in CONTRADICTING_SYSCTL:
        if values.get(key) == value and all(values.get(other) == held for other, held in others):
            together = ", ".join(f"{name}: {held}" for name, held in ((key, value), *others))
            raise refuse(
                by_key[key], f"{key} cannot be {value} together with the others", "one of them", together
            )
    runtime = by_key.get("kernel.sched_rt_runtime_us")
    period = by_key.get("kernel.sched_rt_period_us")
    whole = _wanted(period) if period else _live(machine, "kernel.sched_rt_period_us", "1000000")
    if runtime and _wanted(runtime).isdecimal() and whole.isdecimal() and int(_wanted(runtime)) >= int(whole):
        raise refuse(
            runtime,
            "real-time tasks would get the whole period, and kernel threads of the CPU nothing",
            f"less than kernel.sched_rt_period_us ({whole})",
            f"{runtime.name}: {runtime.wanted}",
        )


def _live(machine: Machine, key: str, default: str) -> str:
    try:
        return machine.read(sysctl_path(key))
    except (AbsentError, UnreadableError):
        return default


def _wanted(setting: Setting) -> str:
    return " ".join(str(setting.wanted).split())


def _pairs(machine: Machine, path: str) -> Iterator[tuple[str, str]]:
    try:
        lines = machine.read(path).splitlines()
    except (AbsentError, UnreadableError):
        return
    for line in lines:
        key, equals, value = line.strip().lstrip("-").partition("=")
        if equals and not key.startswith(("#", ";")):
            name = key.strip()
            yield (name if "/" not in name.split(".")[0] else name.replace("/", ".")), " ".join(value.split())


def _other_values(machine: Machine, key: str) -> Iterator[tuple[str, str]]:
    """Yield (file, value) of this key in the other sysctl files, the one that wins first."""
    names: dict[str, str] = {}
    for folder in _FOLDERS:
        for found in sorted(machine.path(folder).glob("*.conf")):
            names.setdefault(found.name, f"{folder}/{found.name}")
    ordered = [names[name] for name in sorted(names, reverse=True) if names[name] != DROP_IN]
    for path in ["/etc/sysctl.conf", *ordered]:
        for name, value in _pairs(machine, path):
            if name == key:
                yield path, value

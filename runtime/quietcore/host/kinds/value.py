"""A single file of the kernel that holds a value: text, one choice of several, a list or a mask of CPUs."""

from __future__ import annotations

import re

from ...errors import QuietcoreError
from ..cpulist import format_cpu_list, format_cpu_mask, kernel_cpu_list, kernel_cpu_mask, parse_cpu_list
from ..findings import Finding, Verdict
from ..machine import AbsentError, Machine, UnreadableError
from ..settings import Setting
from ..targets import chosen
from .base import APPLY, Change, Context, Kind, cannot_tell, refuse, report, unsupported

_FORMATS = ("text", "cpu_list", "cpu_mask")
# The kernel's own words (admin-guide/mm/transhuge.rst): another one is misspelt, not unsupported.
_WORDS = {
    "/sys/kernel/mm/transparent_hugepage/enabled": ("always", "madvise", "never"),
    "/sys/kernel/mm/transparent_hugepage/defrag": ("always", "defer", "defer+madvise", "madvise", "never"),
}


class ValueKind(Kind):
    """`name` is the path; `options.format` is text (default), cpu_list or cpu_mask (wanted as a list of
    CPUs).
    """

    name = "value"
    applied = "written live, and at each boot"
    settles = True

    def effective(self, setting: Setting) -> str:
        """Return where the effective value is read."""
        return setting.name

    def check(self, setting: Setting, machine: Machine) -> None:
        """Refuse other paths than the kernel's, and unknown formats; a choice that it does not offer is judged."""
        if not setting.name.startswith(("/sys/", "/proc/")) or ".." in setting.name:
            raise refuse(setting, "not a file of the kernel", "a path below /sys or /proc", setting.name)
        if _format(setting) not in _FORMATS:
            raise refuse(setting, "unknown format", ", ".join(_FORMATS), _format(setting))
        if _format(setting) != "text":
            cpus, known = parse_cpu_list(str(setting.wanted)), {cpu.number for cpu in machine.topology.cpus}
            if not cpus or cpus - known:
                raise refuse(setting, "unknown CPUs, or none", f"CPUs out of {format_cpu_list(known)}")
        words = _WORDS.get(setting.name)
        if words is not None and setting.wanted not in words:
            raise refuse(setting, f"not a word of {setting.name}", " or ".join(words))

    def judge(self, setting: Setting, context: Context) -> Finding:
        """Compare what the file shows with what is wanted."""
        try:
            found = _read(setting, context.machine)
        except AbsentError as error:
            return unsupported(setting, error)
        except (UnreadableError, QuietcoreError) as error:
            return cannot_tell(setting, error)
        if found == _wanted(setting):
            return report(setting, Verdict.OK, found)
        offered = _offered(setting, context.machine)
        if offered and _wanted(setting) not in offered:
            return unsupported(setting, f"{setting.name} offers only {' or '.join(offered)}", found)
        return report(setting, Verdict.DRIFT, found, f"{setting.name} was changed after it was set", APPLY)

    def baseline(self, setting: Setting) -> tuple[str, ...]:
        """Return what it writes."""
        return (f"value:{setting.name}",)

    def changes(self, setting: Setting, context: Context) -> list[Change]:
        """Return the write, where the file shows something else."""
        try:
            found = _read(setting, context.machine)
            previous = chosen(context.machine.read(setting.name))
        except (AbsentError, UnreadableError):
            return []
        wanted = _wanted(setting)
        offered = _offered(setting, context.machine)
        if found == wanted or (offered and wanted not in offered):
            return []
        new = format_cpu_mask(parse_cpu_list(wanted)) if _format(setting) == "cpu_mask" else wanted
        return [Change(f"value:{setting.name}", previous, new)]

    def owns(self, setting: Setting, target: str) -> bool:
        """Tell whether the target is the file."""
        return target == f"value:{setting.name}"


def _format(setting: Setting) -> str:
    return str(setting.options.get("format", "text"))


def _wanted(setting: Setting) -> str:
    text = str(setting.wanted)
    return " ".join(text.split()) if _format(setting) == "text" else format_cpu_list(parse_cpu_list(text))


def _offered(setting: Setting, machine: Machine) -> list[str]:
    """Return the choices of a file that shows them all, the one in effect in brackets; none of any other."""
    try:
        text = machine.read(setting.name)
    except (AbsentError, UnreadableError):
        return []
    is_choice = _format(setting) == "text" and re.fullmatch(r"[^\[\]]*\[[^\[\]]+\][^\[\]]*", text)
    return text.replace("[", "").replace("]", "").split() if is_choice else []


def _read(setting: Setting, machine: Machine) -> str:
    text = machine.read(setting.name)
    if _format(setting) == "text":
        return chosen(text)
    read = kernel_cpu_list if _format(setting) == "cpu_list" else kernel_cpu_mask
    cpus = read(text, setting.name)
    # A mask may name CPUs that could be plugged in: only those that are there count.
    return format_cpu_list(cpus & {cpu.number for cpu in machine.topology.cpus})

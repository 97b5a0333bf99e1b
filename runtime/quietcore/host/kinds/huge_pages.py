"""Huge pages reserved in the running kernel."""

from __future__ import annotations

from ...errors import QuietcoreError
from ..findings import Finding, Verdict
from ..machine import AbsentError, Machine, UnreadableError
from ..settings import Setting
from .base import APPLY, Change, Context, Kind, cannot_tell, refuse, report, unsupported

_MEMORY_SHARE = 0.75


class HugePagesKind(Kind):
    """`name` is the page size in KiB (2048), `wanted` the number of pages on the whole machine."""

    name = "huge_pages"

    def effective(self, setting: Setting) -> str:
        """Return where the effective value is read."""
        return _path(setting)

    def check(self, setting: Setting, machine: Machine) -> None:
        """Refuse page sizes that the kernel lacks, and more pages than memory can spare."""
        if not setting.name.isdecimal() or not str(setting.wanted).isdecimal():
            raise refuse(setting, "not a number of huge pages", "a size in KiB and a number of pages")
        sizes = sorted(
            path.name.split("-")[1].removesuffix("kB")
            for path in machine.path("/sys/kernel/mm/hugepages").glob("hugepages-*kB")
        )
        if sizes and setting.name not in sizes:
            raise refuse(
                setting, "this kernel has no huge pages of that size", " or ".join(sizes), setting.name
            )
        memory = machine.topology.memory_kib
        valid = int(memory * _MEMORY_SHARE) // int(setting.name)
        if memory and int(setting.wanted) > valid:
            raise refuse(
                setting,
                f"more huge pages of {setting.name} KiB than this machine's memory can spare",
                f"at most {valid} (three quarters of {memory // 1024} MiB)",
            )

    def judge(self, setting: Setting, context: Context) -> Finding:
        """Compare the pages that are there with those wanted."""
        try:
            found = int(context.machine.read(_path(setting)))
        except AbsentError as error:
            return unsupported(setting, error)
        except (UnreadableError, ValueError) as error:
            return cannot_tell(setting, error)
        wanted = int(setting.wanted)
        if found == wanted:
            return report(setting, Verdict.OK, str(found))
        if found < wanted:
            cause = f"{wanted - found} are missing: freed by hand, or memory is too fragmented to find them"
            return report(
                setting, Verdict.DRIFT, str(found), cause, f"{APPLY}; a reboot where that is not enough"
            )
        return report(
            setting, Verdict.DRIFT, str(found), "something else reserved more", f"stop it, then {APPLY}"
        )

    def changes(self, setting: Setting, context: Context) -> list[Change]:
        """Return the write, where another number of pages is there."""
        try:
            found = context.machine.read(_path(setting))
        except AbsentError:
            return []
        except UnreadableError as error:
            raise QuietcoreError(
                "cannot be read, so it is not changed", where=_path(setting), found=str(error)
            ) from None
        wanted = str(int(setting.wanted))
        return [] if found == wanted else [Change(f"value:{_path(setting)}", found, wanted)]

    def owns(self, setting: Setting, target: str) -> bool:
        """Tell whether the target is the file of this page size."""
        return target == f"value:{_path(setting)}"


def compact(machine: Machine) -> None:
    """Ask the kernel to bring free memory together, so that more huge pages can be found."""
    path = "/proc/sys/vm/compact_memory"
    if machine.exists(path):
        machine.write_value(path, "1")


def _path(setting: Setting) -> str:
    return f"/sys/kernel/mm/hugepages/hugepages-{setting.name}kB/nr_hugepages"

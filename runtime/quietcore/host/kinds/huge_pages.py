"""Huge pages reserved in the running kernel."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping

from ...errors import QuietcoreError
from ..findings import Finding, Verdict
from ..machine import AbsentError, Machine, UnreadableError
from ..settings import Setting
from .base import APPLY, Change, Context, Kind, cannot_tell, refuse, report, unsupported


class HugePagesKind(Kind):
    """`name` is the page size in KiB (2048), `wanted` the number of pages: one number for the whole machine, which
    the kernel spreads over its memory nodes, or a number by node (`{"0": 512}`; a node that is not named: none).
    """

    name = "huge_pages"
    applied = "written live, memory compacted where they are not found, and at each boot"
    settles = True

    def effective(self, setting: Setting) -> str:
        """Return where the effective value is read."""
        return _path(setting, "*" if isinstance(setting.wanted, dict) else None)

    def check(self, setting: Setting, machine: Machine) -> None:
        """Refuse page sizes that the kernel lacks, and more pages than memory can spare."""
        numbers = setting.wanted.items() if isinstance(setting.wanted, dict) else [("0", setting.wanted)]
        words = [setting.name, *(str(word) for pair in numbers for word in pair)]
        if not all(re.fullmatch(r"[0-9]+", word) for word in words) or int(setting.name) == 0:
            raise refuse(setting, "not a number of huge pages", "a size in KiB and a number of pages")
        sizes = pools(machine)
        if sizes and setting.name not in sizes:
            raise refuse(
                setting,
                "this kernel has no huge pages of that size",
                " or ".join(f"{size} KiB" for size in sizes),
                f"{setting.name} KiB",
            )
        _check_share(setting, machine.topology.memory_kib, _total(setting), "this machine's memory")
        if isinstance(setting.wanted, dict):
            _check_nodes(setting, machine)

    def judge(self, setting: Setting, context: Context) -> Finding:
        """Compare the pages that are there with those wanted."""
        try:
            found = {node: int(context.machine.read(path)) for node, path in _paths(setting, context.machine)}
        except AbsentError as error:
            return unsupported(setting, error)
        except (UnreadableError, ValueError) as error:
            return cannot_tell(setting, error)
        wanted = _wanted(setting, found)
        text, wanted_text = _counts(found), _counts(wanted)
        if found == wanted:
            return report(setting, Verdict.OK, text, wanted=wanted_text)
        lacking = {node: wanted[node] - found[node] for node in wanted if found[node] < wanted[node]}
        if lacking:
            cause = f"{_counts(lacking)} are missing: freed by hand, or memory is too fragmented to find them"
            remedy = f"{APPLY}; a reboot where that is not enough"
            return report(setting, Verdict.DRIFT, text, cause, remedy, wanted_text)
        return report(
            setting,
            Verdict.DRIFT,
            text,
            "something else reserved more",
            f"stop it, then {APPLY}",
            wanted_text,
        )

    def changes(self, setting: Setting, context: Context) -> list[Change]:
        """Return the writes where another number of pages is there; what is given back comes first."""
        changes: list[Change] = []
        try:
            paths = _paths(setting, context.machine)
            found = {node: int(context.machine.read(path)) for node, path in paths}
        except AbsentError:
            return []
        except (UnreadableError, ValueError) as error:
            raise QuietcoreError(
                "cannot be read, so it is not changed", where=self.effective(setting), found=str(error)
            ) from None
        wanted = _wanted(setting, found)
        for node, path in sorted(paths, key=lambda item: wanted[item[0]] - found[item[0]]):
            if found[node] != wanted[node]:
                changes.append(Change(f"value:{path}", str(found[node]), str(wanted[node])))
        return changes

    def owns(self, setting: Setting, target: str) -> bool:
        """Tell whether the target is the file of this page size, of the machine or of its nodes."""
        if not isinstance(setting.wanted, dict):
            return target == f"value:{_path(setting)}"
        return fnmatch.fnmatchcase(target, f"value:{_path(setting, '*')}")


def _check_nodes(setting: Setting, machine: Machine) -> None:
    """Refuse memory nodes that are not there, and more pages than one of them can spare."""
    sizes = {str(node): kib for node, kib in enumerate(machine.topology.node_memory_kib) if kib}
    for node, count in setting.wanted.items():
        if node not in sizes:
            raise refuse(
                setting,
                "no memory node of that number",
                f"one of: {', '.join(sizes) or 'none that shows its memory'}",
                f"{node}: {count}",
            )
        _check_share(setting, sizes[node], int(count), f"memory node {node}", f"{node}: {count}")


def _check_share(setting: Setting, memory_kib: int, count: int, whose: str, found: str = "") -> None:
    """Refuse more than a memory can spare; 0 KiB: nobody knows how much there is."""
    size = int(setting.name)
    valid = memory_kib * 3 // 4 // size
    if memory_kib and count > valid:
        raise refuse(
            setting,
            f"more huge pages of {size} KiB than {whose} can spare",
            f"at most {valid} (three quarters of {memory_kib // 1024} MiB)",
            f"{found or count} ({count * size // 1024} MiB)",
        )


def pools(machine: Machine) -> dict[str, int]:
    """Return the pages that are reserved now by page size in KiB, every size that the kernel offers, smallest first.

    A pool that cannot be read counts as empty.
    """
    found: dict[str, int] = {}
    for path in machine.glob("/sys/kernel/mm/hugepages/hugepages-*kB/nr_hugepages"):
        try:
            found[path.split("/")[-2].removeprefix("hugepages-").removesuffix("kB")] = int(machine.read(path))
        except (AbsentError, UnreadableError, ValueError):
            found[path.split("/")[-2].removeprefix("hugepages-").removesuffix("kB")] = 0
    return dict(sorted(found.items(), key=lambda item: int(item[0])))


def check_pools_together(
    settings: Iterable[Setting], machine: Machine, originals: Mapping[str, object]
) -> None:
    """Refuse pools that memory cannot spare together: those promised, and those of other sizes that are there.

    `originals` are what targets of the journal held: a pool that was ours goes back to it. Raises QuietcoreError.
    """
    promised = {setting.name: setting for setting in settings}
    if not promised:
        return
    there = {
        size: int(
            str(originals.get(f"value:/sys/kernel/mm/hugepages/hugepages-{size}kB/nr_hugepages", count))
        )
        for size, count in pools(machine).items()
        if size not in promised
    }
    others = sum(int(size) * count for size, count in there.items())
    wanted = sum(int(size) * _total(setting) for size, setting in promised.items())
    memory = machine.topology.memory_kib
    if memory and wanted and wanted + others > memory * 3 // 4:
        shown = [f"{_total(setting)} of {size} KiB" for size, setting in promised.items()]
        shown += [f"{count} of {size} KiB that are there already" for size, count in there.items() if count]
        raise refuse(
            next(iter(promised.values())),
            "more huge pages of all sizes than this machine's memory can spare",
            f"at most {memory * 3 // 4 // 1024} MiB (three quarters of {memory // 1024} MiB)",
            f"{', '.join(shown)} ({(wanted + others) // 1024} MiB)",
        )


def _total(setting: Setting) -> int:
    if isinstance(setting.wanted, dict):
        return sum(int(count) for count in setting.wanted.values())
    return int(setting.wanted)


def _paths(setting: Setting, machine: Machine) -> list[tuple[str, str]]:
    """Return (node, path) of each file that counts; the whole machine's has no node. Raises AbsentError."""
    if not isinstance(setting.wanted, dict):
        return [("", _path(setting))]
    files = machine.glob(_path(setting, "[0-9]*"))
    nodes = sorted((path.split("/")[5][4:] for path in files), key=int)
    if not nodes:
        raise AbsentError(f"{_path(setting, '*')} does not exist")
    missing = sorted(set(setting.wanted) - set(nodes))
    if missing:
        raise AbsentError(f"{_path(setting, missing[0])} does not exist")
    return [(node, _path(setting, node)) for node in nodes]


def _wanted(setting: Setting, found: Mapping[str, int]) -> dict[str, int]:
    if not isinstance(setting.wanted, dict):
        return {"": int(setting.wanted)}
    return {node: int(setting.wanted.get(node, 0)) for node in found}


def _counts(pages: Mapping[str, int]) -> str:
    return ", ".join(f"{count} on node {node}" if node else str(count) for node, count in pages.items())


def compact(machine: Machine, target: str) -> None:
    """Ask the kernel to bring free memory together, so that more huge pages can be found."""
    node = target.partition("/node/")[2].partition("/")[0]
    path = f"/sys/devices/system/node/{node}/compact" if node else "/proc/sys/vm/compact_memory"
    if machine.exists(path):
        machine.write_value(path, "1")


def _path(setting: Setting, node: str | None = None) -> str:
    base = "/sys/kernel/mm" if node is None else f"/sys/devices/system/node/node{node}"
    return f"{base}/hugepages/hugepages-{setting.name}kB/nr_hugepages"

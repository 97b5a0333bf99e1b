"""Huge pages reserved in the running kernel."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping

from ...errors import QuietcoreError
from ..findings import Finding, Verdict
from ..machine import AbsentError, Machine, UnreadableError
from ..settings import Setting
from .base import APPLY, Change, Context, Kind, cannot_tell, refuse, report, unsupported

_MEMORY_SHARE = 0.75


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
        if not all(word.isdecimal() for word in words):
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
        valid = _spare(memory, setting)
        if memory and _total(setting) > valid:
            raise refuse(
                setting,
                f"more huge pages of {setting.name} KiB than this machine's memory can spare",
                f"at most {valid} (three quarters of {memory // 1024} MiB)",
                _total(setting),
            )
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
        valid = _spare(sizes[node], setting)
        if int(count) > valid:
            raise refuse(
                setting,
                f"more huge pages of {setting.name} KiB than memory node {node} can spare",
                f"at most {valid} (three quarters of {sizes[node] // 1024} MiB)",
                f"{node}: {count}",
            )


def _spare(kib: int, setting: Setting) -> int:
    return int(kib * _MEMORY_SHARE) // int(setting.name)


def _total(setting: Setting) -> int:
    if isinstance(setting.wanted, dict):
        return sum(int(count) for count in setting.wanted.values())
    return int(setting.wanted)


def _paths(setting: Setting, machine: Machine) -> list[tuple[str, str]]:
    """Return (node, path) of each file that counts; the whole machine's has no node. Raises AbsentError."""
    if not isinstance(setting.wanted, dict):
        return [("", _path(setting))]
    folders = machine.path("/sys/devices/system/node").glob(
        f"node[0-9]*/hugepages/hugepages-{setting.name}kB"
    )
    nodes = sorted((folder.parts[-3][4:] for folder in folders), key=int)
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

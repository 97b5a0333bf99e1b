"""/proc/cpuinfo: what the CPUs say of themselves.

The form, from arch/*/kernel/cpu/proc.c: blocks of lines `key : value` parted by an empty line, one for each CPU that
runs (s390 and arm add a block for the machine). Which keys there are is the architecture's: x86 has `flags` and
`model name`, arm64 `Features` and no name, s390 `processor 0:` in one line.
"""

from __future__ import annotations

from ..unreadable import NotUnderstoodError


def read_cpuinfo(text: str, where: str = "/proc/cpuinfo") -> list[dict[str, str]]:
    """Return the blocks in their order. Raises NotUnderstoodError, also where there is none."""
    blocks: list[dict[str, str]] = [{}]
    for line in text.split("\n"):
        if not line.strip():
            blocks.append({})
            continue
        key, colon, value = line.partition(":")
        if not colon or not key.strip():
            raise NotUnderstoodError("not a line of cpuinfo", where=where, found=line, expected="KEY : VALUE")
        blocks[-1][key.strip()] = value.strip()
    found = [block for block in blocks if block]
    if not found:
        raise NotUnderstoodError("no CPU is described", where=where, found=text[:40], expected="KEY : VALUE")
    return found


def flags_of(blocks: list[dict[str, str]]) -> frozenset[str]:
    """Return what all CPUs can do; none where the architecture lists nothing."""
    listed = [frozenset(block["flags"].split()) for block in blocks if "flags" in block]
    return frozenset.intersection(*listed) if listed else frozenset()


def model_of(blocks: list[dict[str, str]]) -> str:
    """Return the processor's name, empty where the architecture has none."""
    return next((block["model name"] for block in blocks if block.get("model name")), "")

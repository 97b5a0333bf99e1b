"""Which cores are meant, and what kind of machine they are of."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

from quietcore.errors import QuietcoreError
from quietcore.host.cpulist import format_cpu_list, parse_cpu_list
from quietcore.host.texts.cpuinfo import flags_of, read_cpuinfo
from quietcore.host.unreadable import NotUnderstoodError

PLAN = Path("/etc/quietcore/plan.json")
PLANNED = ("feed", "strategy", "gateway")


def chosen_cores(wish: str | None, plan: Path = PLAN) -> list[int]:
    """Return the CPUs of a list such as `2,4-5`; without one those of the plan, or all but the first."""
    allowed = sorted(os.sched_getaffinity(0))
    if wish == "all":
        return allowed
    if wish is not None:
        cpus = sorted(parse_cpu_list(wish))
        outside = [
            cpu
            for cpu in cpus
            if cpu not in allowed and not Path(f"/sys/devices/system/cpu/cpu{cpu}").exists()
        ]
        if outside or not cpus:
            raise QuietcoreError(
                "no such CPU",
                where="--cpus",
                found=format_cpu_list(outside) or repr(wish),
                expected=f"CPUs among {format_cpu_list(allowed)}",
            )
        return cpus
    try:
        sets = json.loads(plan.read_text())["sets"]
        planned = sorted({int(cpu) for name in PLANNED for cpu in sets[name]})
    except FileNotFoundError:
        return allowed[1:] or allowed
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise QuietcoreError(
            "core plan cannot be used", where=str(plan), found=repr(error), remedy="name CPUs with --cpus"
        ) from error
    return planned or allowed


def virtualisation() -> str | None:
    """Return what this machine is an imitation in, by systemd-detect-virt; None for metal or where nobody knows.

    A container is no reason to doubt figures, the machine beneath it may be one: containers are not asked for.
    """
    program = shutil.which("systemd-detect-virt")
    if program is None:
        return "hypervisor" if hypervisor_flag() else None
    try:
        done = subprocess.run([program, "--vm"], capture_output=True, text=True, timeout=10, check=False)
        said = done.stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        said = ""
    if said in ("", "none"):
        return "hypervisor" if hypervisor_flag() else None
    return said


def hypervisor_flag(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Tell whether the CPU itself says that a hypervisor is beneath it."""
    try:
        return "hypervisor" in flags_of(read_cpuinfo(cpuinfo.read_text(errors="replace"), str(cpuinfo)))
    except (OSError, NotUnderstoodError):
        return False

"""The catalogue: for each kind of setting, how it is checked, read, judged and changed.

Adding a kind is a class here and nothing elsewhere: roles only name it.
"""

from __future__ import annotations

from ...errors import QuietcoreError
from ..settings import Setting
from .base import Change, Context, Kind
from .boot_trial import BootTrialKind
from .file import FileKind
from .huge_pages import HugePagesKind
from .interrupts import InterruptsKind
from .kernel_parameter import KernelParameterKind
from .per_cpu import PerCpuKind
from .sysctl import SysctlKind
from .unit import UnitKind
from .value import ValueKind
from .watchdog import WatchdogKind

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        KernelParameterKind(),
        BootTrialKind(),
        ValueKind(),
        PerCpuKind(),
        SysctlKind(),
        HugePagesKind(),
        InterruptsKind(),
        UnitKind(),
        FileKind(),
        WatchdogKind(),
    )
}

__all__ = ["KINDS", "Change", "Context", "Kind", "kind_of"]


def kind_of(setting: Setting) -> Kind:
    """Return the setting's kind. Raises QuietcoreError where there is none of that name."""
    kind = KINDS.get(setting.kind)
    if kind is None:
        raise QuietcoreError(
            "unknown kind of setting",
            where=f"{setting.id}: kind",
            found=setting.kind,
            expected=", ".join(KINDS),
        )
    return kind

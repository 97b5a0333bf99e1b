"""The catalogue: for each kind of setting, how it is checked, read, judged and changed.

Adding a kind is a class here and nothing elsewhere: roles only name it.
"""

from __future__ import annotations

from ...errors import QuietcoreError
from ..settings import Setting
from .base import Change, Context, Kind
from .boot_trial import BootTrialKind
from .clocksource import ClocksourceKind
from .drop_in import DropInKind
from .environment import EnvironmentKind
from .fair_server import FairServerKind
from .file import FileKind
from .huge_pages import HugePagesKind
from .idle_latency import IdleLatencyKind
from .interrupts import InterruptsKind
from .isolation import IsolationKind
from .kernel_parameter import KernelParameterKind
from .limits import LimitsKind
from .mount import MountKind
from .network_card import NetworkCardKind, NetworkLinkKind
from .per_cpu import PerCpuKind
from .processes import ProcessesKind
from .sysctl import SysctlKind
from .threads import ThreadsKind
from .turbo import TurboKind
from .unit import UnitKind
from .upkeep import AptOptionKind, NeedrestartKind, TimersKind, UnnamedKind
from .value import ValueKind
from .watchdog import WatchdogKind

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        KernelParameterKind(),
        BootTrialKind(),
        ValueKind(),
        PerCpuKind(),
        IdleLatencyKind(),
        TurboKind(),
        SysctlKind(),
        HugePagesKind(),
        MountKind(),
        InterruptsKind(),
        UnitKind(),
        EnvironmentKind(),
        FileKind(),
        LimitsKind(),
        ProcessesKind(),
        FairServerKind(),
        IsolationKind(),
        ThreadsKind(),
        WatchdogKind(),
        ClocksourceKind(),
        DropInKind(),
        NeedrestartKind(),
        AptOptionKind(),
        TimersKind(),
        UnnamedKind(),
        NetworkCardKind(),
        NetworkLinkKind(),
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

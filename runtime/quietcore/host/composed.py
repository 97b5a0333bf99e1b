"""Files that are composed of what several roles promised, and what has to follow when one of them changes."""

from __future__ import annotations

from . import boot_loader
from .kinds import Context
from .kinds import sysctl as sysctl_kind
from .kinds.kernel_parameter import parameter_value
from .machine import AbsentError, UnreadableError

# The journal's role for files that belong to no single role.
SHARED = "*"


def wanted_files(context: Context) -> dict[str, str | None]:
    """Return the content of each composed file by path, None where it is not to exist."""
    parameters = context.of_kind("kernel_parameter")
    boot: str | None = None
    if boot_loader.obstacle(context.machine) is None:
        boot = boot_loader.drop_in_content(parameters, map(parameter_value, parameters))
    return {
        sysctl_kind.DROP_IN: sysctl_kind.drop_in_content(context.of_kind("sysctl")),
        boot_loader.DROP_IN: boot,
    }


def words_in(content: str | None) -> list[str]:
    """Return the parameters in a drop-in's content."""
    lines = (line for line in (content or "").splitlines() if line and not line.startswith("#"))
    return [word for line in lines for word in line.rstrip('"').split()[1:]]


def menu_lags(context: Context, words: list[str], gone: list[str]) -> bool:
    """Tell whether GRUB's menu must be written anew to have these parameters and to lose those.

    True too where an earlier run was cut off between the drop-in and the menu.
    """
    if not (words or gone) or boot_loader.obstacle(context.machine) is not None:
        return False
    return not boot_loader.menu_is_current(context.machine, words, gone)


def still_running(context: Context, words: list[str]) -> list[str]:
    """Return which of these parameters the running kernel was started with."""
    try:
        running = context.machine.command_line
    except (AbsentError, UnreadableError):
        return []
    return [word for word in words if word in running]

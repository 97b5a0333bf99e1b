"""Files that are composed of what several roles promised."""

from __future__ import annotations

from . import boot_loader
from .boot_files import BootFiles
from .boot_trial import SCRIPT
from .kinds import Context
from .kinds import sysctl as sysctl_kind

# The journal's role for files that belong to no single role.
SHARED = "*"
# What GRUB's menu is generated from.
BOOT_TARGETS = (f"file:{SCRIPT}", f"file:{boot_loader.DROP_IN}")


def wanted_files(context: Context, boot: BootFiles) -> dict[str, dict[str, str] | None]:
    """Return content and mode of each composed file by path, None where it is not to exist."""
    contents = {
        sysctl_kind.DROP_IN: (
            sysctl_kind.drop_in_content(context.of_kind("sysctl"), context.machine),
            "0644",
        ),
        SCRIPT: (boot.script, "0755"),
        boot_loader.DROP_IN: (boot.drop_in, "0644"),
    }
    return {
        path: None if content is None else {"content": content, "mode": mode}
        for path, (content, mode) in contents.items()
    }

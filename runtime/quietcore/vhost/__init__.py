"""The throw-away virtual host: a Debian machine that boots through GRUB, made and run by an ordinary user.

    >>> from quietcore import vhost                       # doctest: +SKIP
    >>> host = vhost.up("demo")                           # build the image if needed, boot, wait for ssh
    >>> host.exec("uname -r").stdout
    >>> host.copy([Path("build/release.tar")], "/root")
    >>> vhost.down("demo")

Standard library only.
"""

import sys

from quietcore.errors import QuietcoreError

if sys.platform != "linux":
    raise QuietcoreError(
        "the virtual host is made on Linux only",
        found=sys.platform,
        remedy="use a Linux machine; on others a Linux virtual machine of 2 CPUs and 4 GiB will do",
    )

from quietcore.vhost.lifecycle import build, down, restore, snapshot, up
from quietcore.vhost.machine import Shape
from quietcore.vhost.places import chosen_name, places, state_root
from quietcore.vhost.progress import Progress
from quietcore.vhost.record import Info, info, require_up

__all__ = [
    "Info",
    "Progress",
    "Shape",
    "build",
    "chosen_name",
    "down",
    "info",
    "places",
    "require_up",
    "restore",
    "snapshot",
    "state_root",
    "up",
]

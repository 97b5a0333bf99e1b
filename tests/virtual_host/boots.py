"""Reboots of the throw-away host: sends it there, and waits for a boot that answers."""

import time

from quietcore import vhost
from quietcore.errors import QuietcoreError

BOOT_ID = "cat /proc/sys/kernel/random/boot_id"


def boot_id(host: vhost.Info) -> str:
    """This boot's identity; raises QuietcoreError or an error of ssh where the host does not answer."""
    return host.exec(BOOT_ID, timeout=60).stdout.strip()


def reboot(host: vhost.Info) -> str:
    """Send the host into a reboot and return the identity of the boot it leaves."""
    before = boot_id(host)
    # Detached: the connection goes down with the host.
    host.exec("systemd-run --quiet --on-active=1 systemctl reboot", timeout=100)
    return before


def wait_for_another_boot(host: vhost.Info, before: str, *, without: str = "", seconds: float = 600) -> str:
    """Return the kernel's command line of the first answering boot that is another one, and lacks a word."""
    until = time.monotonic() + seconds
    said = "no answer"
    while time.monotonic() < until:
        try:
            found, _, line = host.exec(f"{BOOT_ID}; cat /proc/cmdline", timeout=60).stdout.partition("\n")
        except (QuietcoreError, OSError) as error:
            said = str(error)
        else:
            said = line.strip()
            if found != before and not (without and without in said):
                return said
        time.sleep(2)  # between two looks
    raise AssertionError(f"no other boot within {seconds:.0f} s: {said}")

"""Everything about a host that a tuner could change, read by plain system tools. Runs on the host itself.

Knows nothing of the project. Prints a JSON object of objects: kind → name → value.
"""

import hashlib
import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

OWN = ("/opt", "/usr/local", "/dev/shm", "/var/lib/quietcore", "/var/cache/quietcore", "/run/quietcore")


def said(*command: str) -> list[str]:
    # An emulated manager on a busy machine needs more than the usual 25 s for its list of units.
    environment = {"LC_ALL": "C", "PATH": os.environ["PATH"], "SYSTEMD_BUS_TIMEOUT": "200s"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    return done.stdout.splitlines()


def below(*tops: str) -> Iterator[Path]:
    for top in tops:
        for folder, folders, names in os.walk(top):
            yield from (Path(folder, name) for name in folders + names)


def file(path: Path) -> str:
    """Type, mode, owner, and content or destination."""
    try:
        status = path.lstat()
        what = f"{stat.filemode(status.st_mode)} {status.st_uid}:{status.st_gid}"
        if stat.S_ISLNK(status.st_mode):
            what += f" {path.readlink()}"
        elif stat.S_ISREG(status.st_mode):
            what += " " + hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    except OSError as error:
        what = str(error.strerror)
    return what


def files(*tops: str) -> dict[str, str]:
    return {str(path): file(path) for path in below(*tops)}


def values(*tops: str) -> dict[str, str]:
    """What the kernel's files say, those that can be read."""
    found = {}
    for path in below(*tops):
        try:
            mode = path.lstat().st_mode
            if stat.S_ISREG(mode) and mode & stat.S_IRUSR:
                with path.open("rb") as opened:
                    found[str(path)] = " ".join(opened.read(4096).decode("utf-8", "replace").split())
        except OSError as error:
            found[str(path)] = str(error.strerror)
    return found


def pairs(lines: Iterable[str], separator: str | None = None) -> dict[str, str]:
    parted = (line.strip().split(separator, 1) for line in lines)
    return {parts[0].strip(): parts[-1].strip() for parts in parted if parts and parts[0]}


def column(lines: Iterable[str], number: int) -> dict[str, str]:
    words = (line.replace("●", " ").split() for line in lines)
    return {row[0]: row[number] for row in words if len(row) > number}


def cards(links: list[str]) -> dict[str, str]:
    found = {}
    for link in links:
        for flag in ("-g", "-c", "-k", "-l"):
            for key, value in pairs(said("ethtool", flag, link), ":").items():
                found[f"{link} {flag} {key}"] = value
    return found


def main() -> None:
    links = sorted(path.name for path in Path("/sys/class/net").iterdir())
    affinities = ("affinity", "affinity_list", "affinity_hint")
    state = {
        "etc": files("/etc"),
        "boot": files("/boot"),
        "own folders": files(*OWN),
        "sysctl": pairs(said("sysctl", "-a"), "="),
        "interrupts": {
            path: value for path, value in values("/proc/irq").items() if path.endswith(affinities)
        },
        "cpus": values(
            "/sys/devices/system/cpu", "/sys/devices/virtual/workqueue", "/sys/devices/system/clocksource"
        ),
        "memory": values("/sys/kernel/mm", "/sys/devices/system/node"),
        "network": {
            path: value
            for link in links
            for path, value in values(f"/sys/class/net/{link}/").items()
            if "/statistics/" not in path
        },
        "network cards": cards(links),
        "grub environment": pairs(said("grub-editenv", "-", "list"), "=") or {"": "empty"},
        "packages": pairs(said("dpkg-query", "-W", "-f", "${Package} ${Version} ${Status}\n")),
        "users": pairs(said("getent", "passwd"), ":"),
        "groups": pairs(said("getent", "group"), ":"),
        "unit files": column(said("systemctl", "list-unit-files", "--no-legend"), 1),
        "units": column(said("systemctl", "list-units", "--all", "--plain", "--no-legend"), 2),
        "kernel": {"command line": Path("/proc/cmdline").read_text().strip(), "release": os.uname().release},
    }
    json.dump(state, sys.stdout)


if __name__ == "__main__":
    main()

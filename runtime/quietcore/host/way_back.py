"""The timed way back: what could cut the connection that we came by is undone unless somebody says it is well.

A timer of systemd reverts the role; it is stopped once a new connection has been made.
"""

from __future__ import annotations

import ipaddress

from ..errors import ExitCode, QuietcoreError
from .machine import AbsentError, Machine, UnreadableError
from .texts.sockets import ESTABLISHED, LISTENING, Address, Socket, read_sockets

UNIT = "quietcore-way-back"
SECONDS = 180
COMMAND = "/usr/local/sbin/quietcore"


def guard(machine: Machine, interface: str, role: str) -> bool:
    """Arm the timer where somebody is connected through this interface; tell whether it is armed.

    Raises QuietcoreError where it cannot be armed: then nothing may be changed.
    """
    if not carries_a_connection(machine, interface):
        return False
    if machine.run("systemctl", "is-active", "--quiet", f"{UNIT}.timer").returncode == 0:
        return True
    words = ("--collect", f"--unit={UNIT}", f"--on-active={SECONDS}", COMMAND, "revert", "--role", role)
    problem = "" if machine.exists(COMMAND) else f"{COMMAND} is not there"
    if not problem:
        result = machine.run("systemd-run", *words)
        problem = (
            "" if result.returncode == 0 else " ".join(result.stderr.split()) or "systemd-run gave no reason"
        )
    if problem:
        raise QuietcoreError(
            "somebody is connected through this interface and there is no timed way back, so it is left alone",
            where=interface,
            found=problem,
            remedy="run the role host_state first, or change the card from the console",
            code=ExitCode.FOUND,
        )
    return True


def carries_a_connection(machine: Machine, interface: str) -> bool:
    """Tell whether an incoming TCP connection uses this interface; where nobody can tell, it does."""
    try:
        local = connected_addresses(machine)
        result = machine.run("ip", "-oneline", "address", "show")
    except UnreadableError:
        return True
    if result.returncode != 0:
        return True
    names = _above(machine, interface)
    for line in result.stdout.splitlines():
        words = line.split()  # 2: eth0    inet 10.0.2.15/24 brd …
        if len(words) < 4 or not words[0].endswith(":"):
            return True  # no line of ip's: nobody can tell
        if words[1].partition("@")[0] not in names or words[2] not in ("inet", "inet6"):
            continue
        try:
            address = ipaddress.ip_address(words[3].partition("/")[0])
        except ValueError:
            return True
        if address in local:
            return True
    return False


def connected_addresses(machine: Machine) -> set[Address]:
    """Return this host's addresses that others are connected to, on a port that listens. Raises UnreadableError."""
    sockets: list[Socket] = []
    shown = 0
    for path in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            sockets += read_sockets(machine.read_raw(path), path)
            shown += 1
        except AbsentError:  # a kernel without that version
            continue
    if not shown:
        raise UnreadableError("/proc/net/tcp and tcp6 are not there")
    listening = {one.port for one in sockets if one.state == LISTENING}
    return {one.address for one in sockets if one.state == ESTABLISHED and one.port in listening}


def _above(machine: Machine, interface: str) -> set[str]:
    """Return the interface and those that stand on it: bonds, bridges, VLANs."""
    names: set[str] = set()
    waiting = [interface]
    while waiting:
        name = waiting.pop()
        if name not in names:
            names.add(name)
            waiting += [
                path.name.removeprefix("upper_")
                for path in machine.path(f"/sys/class/net/{name}").glob("upper_*")
            ]
    return names

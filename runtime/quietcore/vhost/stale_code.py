"""Throws away what qemu's emulator has translated: at every reset of the guest, and where the guest hangs in it.

Seen with qemu 7.2, several CPUs emulated by threads of their own:
- A guest that patches its own code can hang for good: CPUs go on running the translation of a breakpoint that the guest
  has long taken out (Linux' text_poke), interrupts off, each of them in the trap again and again.
- After a warm reset every page that ever held code is written byte by byte the slow way, since its translations are
  still known: clearing 128 MiB of huge pages took minutes.
Both end with a flush of all translations, which qemu does where a debugger has stepped (gdbstub, gdb_vm_state_change).
It costs the guest about a second.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from quietcore.vhost.monitor import Monitor

MONITOR_SOCKET = "watch.sock"
DEBUGGER_SOCKET = "gdb.sock"
PAUSE_SECONDS = 2.0
# So often a CPU is seen at work with interrupts off before it counts as hanging; a false alarm costs a flush.
LOOKS = 8
_DEBUGGER_SECONDS = 20.0
_CPU = re.compile(r"CPU#(?P<number>\d+)\s.*?[ER]FL=(?P<flags>[0-9a-f]+) .*?HLT=(?P<halted>[01])", re.DOTALL)
_INTERRUPTS_ON = 0x200  # EFLAGS.IF

Say = Callable[[str], None]


def arguments(accelerator: str) -> list[str]:
    """Return the arguments that let the emulator be watched; none where the processor runs the guest itself."""
    if accelerator != "tcg":
        return []
    return [
        *("-qmp", f"unix:{MONITOR_SOCKET},server=on,wait=off"),
        *("-chardev", f"socket,id=gdb,path={DEBUGGER_SOCKET},server=on,wait=off"),
        *("-gdb", "chardev:gdb"),
    ]


def deaf_cpus(registers: str) -> set[int]:
    """Return the CPUs that are at work with interrupts off, of what `info registers -a` prints."""
    return {
        int(found["number"])
        for found in _CPU.finditer(registers)
        if found["halted"] == "0" and not int(found["flags"], 16) & _INTERRUPTS_ON
    }


def flush(folder: Path) -> None:
    """Make qemu forget all translations, by one step of a debugger. Raises OSError where it does not answer."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as debugger:
        debugger.settimeout(_DEBUGGER_SECONDS)
        folder_descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY)
        try:
            debugger.connect(f"/proc/self/fd/{folder_descriptor}/{DEBUGGER_SOCKET}")
        finally:
            os.close(folder_descriptor)
        # GDB's remote serial protocol: $data#checksum, each request acknowledged by a plus sign before its answer.
        # Asked first, so that the stop that a debugger's coming causes is not taken for the end of the step.
        for request, answered in (("?", b"+$T"), ("s", b"+$T"), ("D", b"+$OK")):
            packet = f"${request}#{sum(request.encode()) % 256:02x}"
            debugger.sendall(packet.encode())
            _until(debugger, answered)
            debugger.sendall(b"+")


def _until(debugger: socket.socket, wanted: bytes) -> None:
    """Read to the end of the packet that begins so."""
    said = b""
    while not re.search(re.escape(wanted) + rb"[^#]*#..", said):
        more = debugger.recv(4096)
        if not more:
            raise ConnectionResetError(0, "the emulator hung up on its debugger")
        said = (said + more)[-4096:]


class Watch:
    """Looks at the guest again and again."""

    def __init__(self, folder: Path, monitor: Monitor, say: Say) -> None:
        self._folder = folder
        self._monitor = monitor
        self._say = say
        self._deaf: Counter[int] = Counter()

    def look(self) -> None:
        """Look once, and flush where there is reason to. Raises QuietcoreError where qemu is gone."""
        status = self._monitor.command("query-status")
        if not (isinstance(status, dict) and status.get("running")):
            self._deaf.clear()  # somebody has stopped it, for a snapshot
            return
        deaf = deaf_cpus(self._monitor.human("info registers -a"))
        self._deaf = Counter({cpu: self._deaf[cpu] + 1 for cpu in deaf})
        if "RESET" in self._monitor.taken_events():
            self._flush("the guest was reset")
        elif hanging := sorted(cpu for cpu, looks in self._deaf.items() if looks >= LOOKS):
            numbers = ", ".join(map(str, hanging))
            self._flush(f"interrupts off for {LOOKS * PAUSE_SECONDS:.0f} s on CPU {numbers}")

    def _flush(self, why: str) -> None:
        self._deaf.clear()
        try:
            flush(self._folder)
        except OSError as error:
            self._say(f"{why}; its translated code stays: {error}")
            self._monitor.command("cont")  # a debugger that comes stops the guest
        else:
            self._say(f"{why}; its translated code was thrown away")


def start(folder: Path, log: Path) -> None:
    """Start a process that watches the qemu of a folder until that ends; what it has to say goes to the log."""
    # In a session of its own, so that a Ctrl-C meant for who started the host does not end it; nobody waits for it.
    command = ["setsid", "--fork", sys.executable, "-m", "quietcore.vhost.emulator_watch", str(folder)]
    with log.open("ab") as out:
        subprocess.run(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, check=True)

"""The virtual machine: qemu's arguments, and the firmware it starts."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from quietcore.errors import ExitCode, QuietcoreError
from quietcore.vhost import stale_code
from quietcore.vhost.monitor import SOCKET_NAME
from quietcore.vhost.programs import which
from quietcore.vhost.recipe import DATA_MAC, MANAGEMENT_MAC

QEMU = "qemu-system-x86_64"
# Program: the Debian and Ubuntu package that brings it.
TOOLS = {QEMU: "qemu-system-x86", "qemu-img": "qemu-utils", "ssh": "openssh-client"}

# UEFI code and the variables that go with it, as the distributions name them (Debian and Ubuntu, Fedora, Arch).
_FIRMWARE = (
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
    ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
    ("/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"),
)


@dataclass(frozen=True)
class Shape:
    """The machine: CPUs (threads of cores of sockets), memory in MiB, and the memory nodes that share both evenly.

    CPUs are numbered thread by thread: the siblings of a core are neighbours, and so are the cores of a socket.
    """

    cpus: int = 6
    memory: int = 2048
    sockets: int = 1
    threads: int = 1  # of a core
    nodes: int = 1

    @property
    def cores(self) -> int:
        """Return the number of cores of a socket."""
        return self.cpus // (self.sockets * self.threads)

    def demand_whole(self) -> None:
        """Raise QuietcoreError unless sockets have whole cores, and nodes whole sockets (or sockets whole nodes)."""
        if min(self.sockets, self.threads, self.nodes) < 1 or self.cpus % (self.sockets * self.threads):
            raise QuietcoreError(
                "not a machine",
                where="--cpus, --sockets, --threads",
                found=f"{self.cpus} CPUs in {self.sockets} sockets with {self.threads} threads a core",
                expected="CPUs a multiple of sockets times threads",
                remedy="quietcore vhost up --cpus 12 --sockets 2 --threads 2 --nodes 2",
            )
        if (self.cpus // self.threads) % self.nodes or self.memory % self.nodes:
            raise QuietcoreError(
                "not a machine",
                where="--nodes",
                found=f"{self.nodes} memory nodes for {self.cpus // self.threads} cores and {self.memory} MiB",
                expected="as many cores, and as much memory, in one node as in another",
                remedy="quietcore vhost up --cpus 12 --sockets 2 --threads 2 --nodes 2",
            )

    def describe(self) -> str:
        """Return the size in words."""
        plain = (self.sockets, self.threads, self.nodes) == (1, 1, 1)
        form = f" ({self.sockets} sockets, {self.threads} threads a core, {self.nodes} memory nodes)"
        return f"{self.cpus} CPUs{'' if plain else form}, {self.memory} MiB"

    def arguments(self) -> list[str]:
        """Return qemu's arguments for CPUs and memory."""
        words = [
            *("-smp", f"{self.cpus},sockets={self.sockets},cores={self.cores},threads={self.threads}"),
            *("-m", f"{self.memory}M"),
        ]
        each = self.cpus // self.nodes
        for node in range(self.nodes if self.nodes > 1 else 0):
            first = node * each
            words += ["-object", f"memory-backend-ram,id=memory{node},size={self.memory // self.nodes}M"]
            words += ["-numa", f"node,nodeid={node},cpus={first}-{first + each - 1},memdev=memory{node}"]
        return words


@dataclass(frozen=True)
class Firmware:
    """UEFI code (read only) and the template of its variables."""

    code: Path
    variables: Path


def find_firmware(candidates: Sequence[tuple[str, str]] = _FIRMWARE) -> Firmware:
    """Return the UEFI firmware of this controller; QuietcoreError names the package where there is none."""
    for code, variables in candidates:
        if Path(code).is_file() and Path(variables).is_file():
            return Firmware(Path(code), Path(variables))
    raise QuietcoreError(
        "no UEFI firmware for virtual machines",
        where=", ".join(code for code, _ in candidates),
        remedy="apt-get install ovmf",
    )


def qemu_version() -> str:
    """Return qemu's version as it prints it, distribution's revision included."""
    text = subprocess.run(
        [which(QEMU) or QEMU, "--version"], capture_output=True, text=True, check=True
    ).stdout
    match = re.search(r"version (.+)", text)
    if not match:
        raise QuietcoreError("qemu tells no version", where=QEMU, found=text.strip(), code=ExitCode.UNKNOWN)
    return match[1]


def accelerator_arguments(accelerator: str, threads: int = 1) -> list[str]:
    """Return qemu's arguments for ``kvm`` or ``tcg``, with a processor that can tell the threads of its cores."""
    if accelerator == "kvm":
        # Processors of AMD show no siblings without it; on others it is not there, and qemu only says so.
        return ["-accel", "kvm", "-cpu", "host" if threads == 1 else "host,topoext=on"]
    # Without la57: under emulated five-level page tables (seen with qemu 7.2) system calls of the guest fail at
    # random, mounts first. Without svm: the guest would load and test KVM for nobody. With the level that went with
    # svm: below it the guest cannot tell cores from sockets.
    # Siblings are believed of a processor of Intel only, which tells them at levels 0x4 and 0xb.
    processor = "xlevel=0x8000000a" if threads == 1 else "vendor=GenuineIntel,level=0x1f"
    return ["-accel", "tcg,thread=multi", "-cpu", f"max,-la57,-svm,{processor}"]


def base_arguments(shape: Shape, accelerator: str, firmware: Firmware) -> list[str]:
    """Return what the trial boot and the real one have in common, so that the one proves the other."""
    return [
        which(QEMU) or QEMU,
        "-nodefaults",
        "-no-user-config",
        *("-machine", "q35"),
        *accelerator_arguments(accelerator, shape.threads),
        *shape.arguments(),
        *("-display", "none"),
        *("-rtc", "base=utc"),
        *("-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={firmware.code}"),
    ]


def arguments(
    *,
    name: str,
    shape: Shape,
    accelerator: str,
    firmware: Firmware,
    port: int,
    snapshot: str | None = None,
) -> list[str]:
    """Return the command line of the virtual host; its files are relative to the folder qemu is started in.

    Several devices with vectors of their own give the host something to move: two network interfaces and a
    random generator with movable ones, a disk with one managed queue per CPU.
    """
    management = f"user,id=management,ipv6=off,hostfwd=tcp:127.0.0.1:{port}-10.0.2.15:22"
    return [
        *base_arguments(shape, accelerator, firmware),
        *("-name", name),
        *("-pidfile", "qemu.pid"),
        *("-chardev", "file,id=console,path=console.log"),
        *("-serial", "chardev:console"),
        *("-qmp", f"unix:{SOCKET_NAME},server=on,wait=off"),
        *stale_code.arguments(accelerator),
        *("-drive", "if=pflash,unit=1,format=qcow2,file=firmware.qcow2"),
        *(
            "-drive",
            "if=none,id=disk,format=qcow2,file=disk.qcow2,cache=unsafe,discard=unmap,detect-zeroes=unmap",
        ),
        *("-device", f"virtio-blk-pci,drive=disk,bootindex=1,num-queues={shape.cpus}"),
        *("-netdev", management),
        *("-device", f"virtio-net-pci,netdev=management,mac={MANAGEMENT_MAC},romfile="),
        *("-netdev", "user,id=data,restrict=on,ipv6=off"),
        *("-device", f"virtio-net-pci,netdev=data,mac={DATA_MAC},romfile="),
        *("-device", "virtio-rng-pci"),
        *(("-loadvm", snapshot) if snapshot else ()),
    ]


def fingerprint(shape: Shape, accelerator: str, firmware: Firmware) -> str:
    """Return everything that must agree before a snapshot of one machine may be loaded into another."""
    parts = arguments(name="any", shape=shape, accelerator=accelerator, firmware=firmware, port=0)
    code = firmware.code.stat()
    return repr((qemu_version(), parts, asdict(shape), code.st_size, code.st_mtime_ns))

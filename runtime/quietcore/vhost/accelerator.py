"""Chooses between KVM and emulation by trying: the existence of /dev/kvm proves nothing.

Inside some virtual machines it is there, and qemu aborts or the guest hangs without a word. So the guest's own
kernel is booted for a few seconds with the very machine that is wanted; what it prints decides.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from quietcore.errors import QuietcoreError
from quietcore.vhost.image import Image
from quietcore.vhost.machine import Firmware, Shape, base_arguments, qemu_version
from quietcore.vhost.progress import Progress

ACCELERATOR_VARIABLE = "QUIETCORE_VHOST_ACCELERATOR"
_TRIAL_SECONDS = 15.0
# What the kernel prints when the first process ends, here /bin/true, with success: user mode works as well.
_PROOF = b"Attempted to kill init! exitcode=0x00000000"
_DEVICE = Path("/dev/kvm")


@dataclass(frozen=True)
class Choice:
    """The accelerator, ``kvm`` or ``tcg``, and why it is that one."""

    accelerator: str
    reason: str

    def describe(self) -> str:
        """Return the choice as one phrase."""
        names = {"kvm": "KVM", "tcg": "emulation (tcg)"}
        return f"{names[self.accelerator]}: {self.reason}"


def _trial_command(image: Image, shape: Shape, firmware: Firmware, console: Path) -> list[str]:
    return [
        *base_arguments(shape, "kvm", firmware),
        *("-drive", f"if=pflash,unit=1,format=raw,snapshot=on,file={firmware.variables}"),
        *("-serial", f"file:{console}"),
        *("-kernel", str(image.kernel)),
        *("-initrd", str(image.initrd)),
        *("-append", "console=ttyS0,115200 ignore_loglevel rdinit=/bin/true panic=-1"),
        "-no-reboot",
    ]


def try_boot(command: Sequence[str], console: Path, seconds: float = _TRIAL_SECONDS) -> str | None:
    """Run qemu until the console shows the proof; return None then, else what went wrong."""
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        try:
            end = time.monotonic() + seconds
            while True:
                ended = process.poll() is not None
                if console.is_file() and _PROOF in console.read_bytes():
                    return None
                if ended:
                    said.seek(0)
                    text = said.read().decode(errors="replace").strip()
                    lines = [line for line in text.splitlines() if "warning:" not in line]
                    return f"qemu ended at once: {lines[0] if lines else f'exit status {process.returncode}'}"
                if time.monotonic() > end:
                    return f"no kernel within {seconds:.0f} s"
                time.sleep(0.05)
        finally:
            process.kill()
            process.wait()


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    except OSError:
        return platform.node()


def _forced() -> Choice | None:
    wanted = os.environ.get(ACCELERATOR_VARIABLE)
    if not wanted:
        return None
    if wanted not in ("kvm", "tcg"):
        raise QuietcoreError(
            "unknown accelerator",
            where=ACCELERATOR_VARIABLE,
            found=wanted,
            expected="kvm or tcg",
            remedy="correct or unset it",
        )
    return Choice(wanted, f"asked for by {ACCELERATOR_VARIABLE}")


def choose(
    image: Image,
    shape: Shape,
    firmware: Firmware,
    memory_file: Path,
    progress: Progress,
    *,
    device: Path = _DEVICE,
    trial: Callable[[Sequence[str], Path], str | None] = try_boot,
) -> Choice:
    """Return the accelerator for this image and machine; the answer of a trial is remembered until a restart.

    What the user can change at once (the device's existence and permission) is looked at every time.
    """
    forced = _forced()
    if forced:
        return forced
    if platform.machine() != "x86_64":
        return Choice("tcg", f"this machine is {platform.machine()}, the guest x86_64")
    if not device.exists():
        return Choice("tcg", f"no {device}")
    if not os.access(device, os.R_OK | os.W_OK):
        return Choice("tcg", f"{device} is not yours to open (group kvm)")
    asked = {"boot": _boot_id(), "qemu": qemu_version(), "image": image.key, "shape": asdict(shape)}
    try:
        remembered = json.loads(memory_file.read_text(encoding="utf-8"))
        if remembered["asked"] == asked:
            return Choice(str(remembered["accelerator"]), str(remembered["reason"]))
    except (OSError, ValueError, KeyError, TypeError):
        pass  # nothing remembered, or not by this version: try again
    with (
        tempfile.TemporaryDirectory(prefix="quietcore-trial-") as folder,
        progress.step("trial boot with KVM"),
    ):
        console = Path(folder) / "console"
        failure = trial(_trial_command(image, shape, firmware, console), console)
    choice = (
        Choice("tcg", f"trial boot with KVM failed, {failure}")
        if failure
        else Choice("kvm", "trial boot passed")
    )
    memory_file.parent.mkdir(parents=True, exist_ok=True)
    beside = memory_file.with_suffix(".new")
    beside.write_text(json.dumps({"asked": asked, **asdict(choice)}, indent=2) + "\n", encoding="utf-8")
    beside.rename(memory_file)
    return choice

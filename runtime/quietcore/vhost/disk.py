"""The guest's disk: GPT with an ESP and a root file system, written without root, mounts or loop devices.

fakeroot keeps the owners while mke2fs writes the root file system straight into its partition; mtools fill the ESP.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

from quietcore.vhost.programs import run, which

_MEBIBYTE = 1024 * 1024
_ESP_BYTES = 32 * _MEBIBYTE
_DISK_BYTES = 4096 * _MEBIBYTE  # sparse: what is empty takes no space
_SECTOR = 512
_TYPE_ESP = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
_TYPE_ROOT = "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709"  # Linux root, x86-64
# Fixed, so that grub.cfg can be written before the file system is, just as the guest itself would write it.
ROOT_UUID = "51c0de00-0000-4000-8000-517e7c07e001"

# Program: the Debian and Ubuntu package that brings it.
TOOLS = {"fakeroot": "fakeroot", "mke2fs": "e2fsprogs", "sfdisk": "fdisk", "mformat": "mtools"}


def layout_key() -> str:
    """Return a hash of how the disk is written: of this very module."""
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()


def _partitions(disk: Path, log: Path) -> dict[str, tuple[int, int]]:
    """Write the partition table; return start and size in bytes by partition name, as sfdisk aligned them."""
    esp_sectors = _ESP_BYTES // _SECTOR
    table = f"label: gpt\nsize={esp_sectors}, type={_TYPE_ESP}, name=esp\ntype={_TYPE_ROOT}, name=root\n"  # the rest
    run(["sfdisk", "--quiet", str(disk)], log=log, stdin=table)
    found = subprocess.run(
        [which("sfdisk") or "sfdisk", "--json", str(disk)], capture_output=True, text=True, check=True
    )
    return {
        str(entry["name"]): (int(entry["start"]) * _SECTOR, int(entry["size"]) * _SECTOR)
        for entry in json.loads(found.stdout)["partitiontable"]["partitions"]
    }


_UNPACK_AND_WRITE = r"""set -eu
tar --extract --file "$1" --directory "$2" --numeric-owner --exclude=./dev
mkdir -p "$2/dev" "$2/proc" "$2/sys" "$2/run"
mv "$2/boot/BOOTX64.EFI" "$6"
mke2fs -q -t ext4 -L root -U "$7" -d "$2" -E "offset=$4,lazy_itable_init=0,lazy_journal_init=0" -J size=32 -F "$3" "$5"
"""


def write(tar: Path, disk: Path, log: Path) -> None:
    """Write the raw disk from the root file system in ``tar``; beside it land kernel, initrd and sshd's public key.

    Raises QuietcoreError with the log's last lines where a program fails.
    """
    folder = disk.parent
    with disk.open("wb") as file:
        file.truncate(_DISK_BYTES)
    partitions = _partitions(disk, log)
    tree = folder / "tree"
    tree.mkdir()
    boot_image = folder / "BOOTX64.EFI"
    start, size = partitions["root"]
    try:
        session = ["fakeroot", "sh", "-c", _UNPACK_AND_WRITE, "sh"]
        # One fakeroot session: it remembers the owners from unpacking until mke2fs reads them.
        run(
            [
                *session,
                str(tar),
                str(tree),
                str(disk),
                str(start),
                f"{size // 1024}k",
                str(boot_image),
                ROOT_UUID,
            ],
            log=log,
            doing="writing the root file system",
        )
        shutil.copyfile(tree / "etc/ssh/ssh_host_ed25519_key.pub", folder / "host_key.pub")
        for name in ("vmlinuz", "initrd.img"):
            shutil.copyfile(tree / name, folder / name)
    finally:
        _remove_tree(tree)
    start, size = partitions["esp"]
    esp = f"{disk}@@{start}"
    run(
        ["mformat", "-i", esp, "-T", str(size // _SECTOR), "-h", "16", "-s", "63", "-v", "ESP", "::"], log=log
    )
    run(["mmd", "-i", esp, "::EFI", "::EFI/BOOT"], log=log)
    run(["mcopy", "-i", esp, str(boot_image), "::EFI/BOOT/BOOTX64.EFI"], log=log)
    boot_image.unlink()
    # mformat leaves what looks like a partition table in the ESP's boot sector; GRUB's tools warn of it each time.
    with disk.open("r+b") as file:
        file.seek(start + 446)
        file.write(bytes(64))


def _remove_tree(tree: Path) -> None:
    """Remove an unpacked root file system, folders without write permission included."""
    for folder, _, _ in os.walk(tree):
        with contextlib.suppress(OSError):
            Path(folder).chmod(0o700)
    shutil.rmtree(tree, ignore_errors=True)

"""Makes the image of a Debian host that boots through GRUB under UEFI, without root, mounts or loop devices.

mmdebstrap unpacks the packages in a user namespace; fakeroot keeps the owners while mke2fs writes the root file
system straight into its partition; mtools fill the ESP.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pwd
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from quietcore.errors import ExitCode, QuietcoreError
from quietcore.vhost import sources, space
from quietcore.vhost.progress import Progress
from quietcore.vhost.recipe import DISK_BYTES, ESP_BYTES, MEBIBYTE, RELEASES, ROOT_UUID, Recipe

# Measured: 0.6 GiB of packages twice over (tar and tree), and the disk.
_SCRATCH_BYTES = 1400 * MEBIBYTE
_STATE_BYTES = 2400 * MEBIBYTE
_SECTOR = 512
_TYPE_ESP = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
_TYPE_ROOT = "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709"  # Linux root, x86-64

# Program: the Debian and Ubuntu package that brings it.
TOOLS: Mapping[str, str] = {
    "mmdebstrap": "mmdebstrap",
    "newuidmap": "uidmap",
    "fakeroot": "fakeroot",
    "mke2fs": "e2fsprogs",
    "sfdisk": "fdisk",
    "mformat": "mtools",
    "ssh-keygen": "openssh-client",
}


@dataclass(frozen=True)
class Image:
    """A finished image: a folder with the raw disk, the kernel and initrd for a trial boot, and the host's key."""

    folder: Path

    @property
    def key(self) -> str:
        """Return the image's name."""
        return self.folder.name

    @property
    def disk(self) -> Path:
        """Return the raw disk, never written to after it is made."""
        return self.folder / "disk.raw"

    @property
    def kernel(self) -> Path:
        """Return the guest's kernel."""
        return self.folder / "vmlinuz"

    @property
    def initrd(self) -> Path:
        """Return the guest's initial RAM disk."""
        return self.folder / "initrd.img"

    @property
    def host_key(self) -> Path:
        """Return the public key by which the guest's sshd is known."""
        return self.folder / "host_key.pub"


def which(program: str) -> str | None:
    """Return the path of a program, the administrator's folders included: an ordinary user's PATH lacks them."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
    return shutil.which(program, path=path)


def require_tools(tools: Mapping[str, str]) -> None:
    """Raise QuietcoreError that names every missing program and the packages to install."""
    missing = {program: package for program, package in tools.items() if which(program) is None}
    if missing:
        raise QuietcoreError(
            "programs missing",
            where=", ".join(missing),
            expected="in PATH, /usr/sbin or /sbin",
            remedy=f"apt-get install {' '.join(sorted(set(missing.values())))}",
        )


def require_subordinate_ids(files: Sequence[Path] = (Path("/etc/subuid"), Path("/etc/subgid"))) -> None:
    """Raise QuietcoreError unless the user may map a range of ids (root always may)."""
    if os.geteuid() == 0:
        return
    user = pwd.getpwuid(os.geteuid())
    for file in files:
        lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
        ranges = [line.split(":") for line in lines if line.count(":") == 2]
        if not any(
            owner in (user.pw_name, str(user.pw_uid)) and int(count) >= 65536 for owner, _, count in ranges
        ):
            raise QuietcoreError(
                f"user {user.pw_name} has no subordinate ids",
                where=str(file),
                expected=f"a line such as {user.pw_name}:100000:65536",
                remedy=f"as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user.pw_name}",
            )


@contextlib.contextmanager
def locked(file: Path, progress: Progress, what: str) -> Iterator[None]:
    """Hold a lock file; say so when another process has it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with progress.step(f"waiting for another process that is {what}"):
                fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def run(
    command: Sequence[str], *, log: Path, cwd: Path | None = None, stdin: str | None = None, doing: str = ""
) -> None:
    """Run a program with its output in ``log``; raise QuietcoreError with the log's end where it fails.

    The program gets a process group of its own which is ended with us, so that Ctrl-C leaves nothing behind.
    """
    program = which(command[0]) or command[0]
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}
    with log.open("a", encoding="utf-8") as output:
        print(f"+ {shlex.join(command)[:2000]}", file=output, flush=True)
        process = subprocess.Popen(
            [program, *command[1:]],
            stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=cwd,
            env=environment,
            start_new_session=True,
        )
        try:
            process.communicate(stdin)
        except BaseException:
            # mmdebstrap removes its folder when it is asked to end; give it the time.
            for ask in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, ask)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(15)
                    break
            raise
    if process.returncode != 0:
        lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines()]
        telling = [
            line for line in lines if line.startswith(("E:", "error", "mke2fs", "sfdisk", "Disk full"))
        ]
        raise QuietcoreError(
            f"{doing or command[0]} failed (exit status {process.returncode})",
            where=str(log),
            found=" | ".join((telling or lines)[-3:]),
            remedy="read the log; most often it is the network, a proxy or the mirror",
            code=ExitCode.UNKNOWN,
        )


def _rewrite_keys(root: Path, progress: Progress) -> str:
    """Return the public key that opens the guests of this state folder; make the pair on first use."""
    private = root / "id_ed25519"
    public = private.with_suffix(".pub")
    if not (private.is_file() and public.is_file()):
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=root, prefix=".key-") as beside:
            new = Path(beside) / "key"
            run(
                [
                    "ssh-keygen",
                    "-q",
                    "-t",
                    "ed25519",
                    "-N",
                    "",
                    "-C",
                    "quietcore virtual host",
                    "-f",
                    str(new),
                ],
                log=Path(beside) / "log",
            )
            new.with_suffix(".pub").rename(public)
            new.rename(private)
        progress.say(f"made an ssh key for the virtual hosts: {private}")
    return public.read_text(encoding="utf-8").strip()


def image_for(root: Path, release: str, progress: Progress) -> Image:
    """Return where the image of ``release`` is, or will be once built."""
    return Image(root / "images" / recipe_for(root, release, progress).key)


def recipe_for(root: Path, release: str, progress: Progress) -> Recipe:
    """Return the recipe for ``release`` with this state folder's ssh key."""
    if release not in RELEASES:
        raise QuietcoreError(
            "unknown release",
            where="--release",
            found=release,
            expected=" or ".join(RELEASES),
            remedy="choose one",
        )
    require_tools({"ssh-keygen": TOOLS["ssh-keygen"]})
    with locked(root / "images" / ".key.lock", progress, "making the ssh key"):
        return Recipe(release, _rewrite_keys(root, progress))


def build(
    root: Path, release: str, progress: Progress, *, fresh: bool = False, mirror: str | None = None
) -> Image:
    """Return the image of ``release``, made now unless it is there; ``fresh`` makes it anew.

    Nothing half made stays: everything happens in a folder beside, renamed when it is complete.
    """
    recipe = recipe_for(root, release, progress)
    image = Image(root / "images" / recipe.key)
    with locked(root / "images" / f".{recipe.key}.lock", progress, f"building image {recipe.key}"):
        if image.disk.is_file() and not fresh:
            return image
        require_tools(TOOLS)
        require_subordinate_ids()
        space.demand(root, _STATE_BYTES, "the image", variable="QUIETCORE_VHOST_DIR")
        scratch = space.scratch_folder(_SCRATCH_BYTES)
        for left_over in image.folder.parent.glob(f".{recipe.key}-*"):
            if left_over.is_dir():
                shutil.rmtree(left_over, ignore_errors=True)
        beside = Path(tempfile.mkdtemp(dir=image.folder.parent, prefix=f".{recipe.key}-"))
        log = root / "images" / f"{recipe.key}.log"
        log.write_text("", encoding="utf-8")
        try:
            _make(recipe, beside, scratch, log, progress, mirror)
            if image.folder.exists():
                shutil.rmtree(image.folder)
            beside.rename(image.folder)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    return image


def _make(
    recipe: Recipe, folder: Path, scratch: Path, log: Path, progress: Progress, mirror: str | None
) -> None:
    tar = folder / "root.tar"
    with progress.step(f"installing Debian {recipe.release} with mmdebstrap (log: {log})"):
        _bootstrap(recipe, tar, scratch, log, mirror)
    disk = folder / "disk.raw"
    with progress.step("writing the disk: GPT, ESP and root file system"):
        _write_disk(tar, disk, log)
    tar.unlink()
    made = {"release": recipe.release, "packages": recipe.packages.split(","), "key": recipe.key}
    (folder / "image.json").write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")


def _bootstrap(recipe: Recipe, tar: Path, scratch: Path, log: Path, mirror: str | None) -> None:
    archives = [mirror] if mirror else sources.own_sources(recipe.release)
    with tempfile.TemporaryDirectory(dir=scratch, prefix="quietcore-image-") as temporary:
        # mmdebstrap works as a mapped user below this folder and reads the hooks from it.
        room = Path(temporary)
        room.chmod(0o755)
        hooks = {"essential": recipe.essential_hook, "customize": recipe.customize_hook}
        for name, script in hooks.items():
            file = room / name
            file.write_text("#!/bin/sh\n" + script, encoding="utf-8")
            file.chmod(0o755)
        work = room / "work"
        work.mkdir()
        work.chmod(0o1777)
        command = [
            "env",
            f"TMPDIR={work}",
            "mmdebstrap",
            "--mode=unshare",
            "--variant=minbase",
            "--format=tar",
            f"--include={recipe.packages}",
            f'--essential-hook={room / "essential"} "$1"',
            f'--customize-hook={room / "customize"} "$1"',
            "--dpkgopt=force-unsafe-io",
            "--dpkgopt=path-exclude=/usr/share/man/*",
            "--dpkgopt=path-exclude=/usr/share/locale/*/LC_MESSAGES/*",
            "--dpkgopt=path-exclude=/usr/share/doc/*",
            '--aptopt=Acquire::Languages "none"',
            *(f"--aptopt={option}" for option in sources.acquire_options()),
            recipe.release,
            str(tar),
            *archives,
        ]
        run(command, log=log, doing="mmdebstrap")


def _partitions(disk: Path, log: Path) -> dict[str, tuple[int, int]]:
    """Write the partition table; return start and size in bytes by partition name, as sfdisk aligned them."""
    esp_sectors = ESP_BYTES // _SECTOR
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


def _write_disk(tar: Path, disk: Path, log: Path) -> None:
    folder = disk.parent
    with disk.open("wb") as file:
        file.truncate(DISK_BYTES)
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

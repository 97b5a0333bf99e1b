"""Makes the image of a Debian host that boots through GRUB under UEFI, without root, mounts or loop devices.

mmdebstrap unpacks the packages in a user namespace; the module `disk` makes a disk of what comes out.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from quietcore.errors import QuietcoreError
from quietcore.vhost import disk, sources, space
from quietcore.vhost.programs import locked, require_tools, run
from quietcore.vhost.progress import Progress
from quietcore.vhost.recipe import RELEASES, Recipe

# Measured: 0.6 GiB of packages twice over (tar and tree), and the disk.
_SCRATCH_BYTES = 1400 * space.MEBIBYTE
_STATE_BYTES = 2400 * space.MEBIBYTE

# Program: the Debian and Ubuntu package that brings it.
_KEY_TOOLS = {"ssh-keygen": "openssh-client"}
TOOLS = {"mmdebstrap": "mmdebstrap", "newuidmap": "uidmap", **disk.TOOLS, **_KEY_TOOLS}


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


def _public_key(root: Path, progress: Progress) -> str:
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
    require_tools(_KEY_TOOLS)
    with locked(root / "images" / ".key.lock", progress, "making the ssh key"):
        return Recipe(release, _public_key(root, progress))


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
            _prune(root, release, keep=image.key)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    return image


def _prune(root: Path, release: str, *, keep: str) -> None:
    """Remove older images of the release on which no host's disk stands."""
    used = {keep}
    for host in (folder for folder in root.iterdir() if (folder / "disk.qcow2").is_file()):
        try:
            used.add(str(json.loads((host / "vhost.json").read_text(encoding="utf-8"))["image"]))
        except (OSError, ValueError, KeyError, TypeError):
            return  # a host that is just being started: no telling which image it needs
    for folder in (root / "images").glob(f"{release}-*"):
        if folder.is_dir() and folder.name not in used:
            shutil.rmtree(folder, ignore_errors=True)
            folder.with_name(f"{folder.name}.log").unlink(missing_ok=True)


def _make(
    recipe: Recipe, folder: Path, scratch: Path, log: Path, progress: Progress, mirror: str | None
) -> None:
    tar = folder / "root.tar"
    with progress.step(f"installing Debian {recipe.release} with mmdebstrap (log: {log})"):
        _bootstrap(recipe, tar, scratch, log, mirror)
    with progress.step("writing the disk: GPT, ESP and root file system"):
        disk.write(tar, folder / "disk.raw", log)
    tar.unlink()
    made = {"release": recipe.release, "packages": recipe.packages.split(","), "key": recipe.key}
    (folder / "image.json").write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")


def _bootstrap(recipe: Recipe, tar: Path, scratch: Path, log: Path, mirror: str | None) -> None:
    archives = [mirror] if mirror else sources.own_sources(recipe.release)
    with tempfile.TemporaryDirectory(
        dir=scratch, prefix="quietcore-image-", ignore_cleanup_errors=True
    ) as temporary:
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

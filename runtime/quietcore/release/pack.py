"""A release: feed handler, its libraries, the runtime's code and a manifest, in one archive named by its content."""

from __future__ import annotations

import compileall
import dataclasses
import fcntl
import json
import os
import py_compile
import shutil
import sys
from pathlib import Path

import quietcore
from quietcore.release import machine_code, native, packages, strategy
from quietcore.release.archive import content_hash, sha256, write_archive
from quietcore.release.strategy import DEFAULT_STRATEGY, StrategyWish
from quietcore.release.target import Target

# Without `site`, nothing but the standard library and these two folders is found: neither the distribution's
# packages nor a user's. The interpreter is named in full, because the packages are for this one.
LAUNCHER = """\
#!/bin/sh
# The runtime's command of this release, whatever folder it is called from.
root=$(dirname "$(dirname "$(readlink -f "$0")")")
export PYTHONPATH="$root/lib/python:$(dirname "$(dirname "$root")")/packages/{packages}"
exec /usr/bin/python{python} -S -P -m quietcore "$@"
"""


@dataclasses.dataclass(frozen=True)
class Release:
    """The archives that make a release on a target: code, third-party packages, and the runtime's machine code.

    The last is absent, its three fields empty, where only the target itself can compile. ``strategy``: where the
    user's own lies within the release, empty for one that ships.
    """

    version: str
    archive: str
    archive_sha256: str
    packages: str
    packages_archive: str
    packages_sha256: str
    python: str
    cpu_level: str
    machine_code: str
    machine_code_archive: str
    machine_code_sha256: str
    strategy: str
    built: bool


def pack(
    root: Path,
    executable: Path,
    target: Target,
    level: str,
    out: Path,
    wish: StrategyWish = DEFAULT_STRATEGY,
) -> Release:
    """Pack a release of the checkout at ``root`` for the target into the folder ``out``.

    The strategy is tried out first. Does nothing where the same content is packed already: ``built`` is then false.
    Who packs into the same folder meanwhile is waited for.
    """
    strategy.check(wish)
    out.mkdir(parents=True, exist_ok=True)
    folder = os.open(out, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        return _pack(root, executable, target, level, out, wish)
    finally:
        os.close(folder)


def _pack(root: Path, executable: Path, target: Target, level: str, out: Path, wish: StrategyWish) -> Release:
    lock = root / "requirements.lock"
    python = ".".join(map(str, target.python))
    tree = out / "release.new"
    shutil.rmtree(tree, ignore_errors=True)
    try:
        needed = native.collect(executable, tree, target)
        copy_runtime(root, tree, target, packages.key(lock, target))
        own = strategy.place(wish, tree)
        manifest = {
            "packages": packages.key(lock, target),
            "machine": target.machine,
            "python": python,
            "glibc_needed": ".".join(map(str, needed)),
            "files": {str(p.relative_to(tree)): sha256(p) for p in sorted(tree.rglob("*")) if p.is_file()},
        }
        (tree / "manifest.json").write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n")
        release_version = f"{quietcore.__version__}-{content_hash(tree)[:12]}"
        archive = out / f"release-{release_version}.tar.gz"
        built = not archive.exists()
        if built:
            write_archive(tree, archive)
    finally:
        shutil.rmtree(tree, ignore_errors=True)
    package_archive = packages.pack(lock, target, out)
    machine_code_archive = machine_code.pack(
        root, executable, target, level, packages.key(lock, target), out, wish
    )
    return Release(
        version=release_version,
        archive=str(archive),
        archive_sha256=sha256(archive),
        packages=packages.key(lock, target),
        packages_archive=str(package_archive),
        packages_sha256=sha256(package_archive),
        python=python,
        cpu_level=level,
        machine_code=machine_code_archive.name.split("-")[-1].split(".")[0] if machine_code_archive else "",
        machine_code_archive=str(machine_code_archive or ""),
        machine_code_sha256=sha256(machine_code_archive) if machine_code_archive else "",
        strategy=own,
        built=built,
    )


def copy_runtime(root: Path, tree: Path, target: Target, packages_key: str) -> None:
    """Copy the Python package without what only the controller uses, and write the launcher."""
    left_out = shutil.ignore_patterns("__pycache__", "vhost", "release", "demo.py", "local.py")
    shutil.copytree(root / "runtime/quietcore", tree / "lib/python/quietcore", ignore=left_out)
    if target.python == sys.version_info[:2]:
        # By hash and unchecked: times of a checkout must not change the release's content.
        mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
        compileall.compile_dir(tree / "lib/python", stripdir=str(tree), quiet=2, invalidation_mode=mode)
    launcher = tree / "bin/quietcore"
    launcher.write_text(LAUNCHER.format(python=".".join(map(str, target.python)), packages=packages_key))
    launcher.chmod(0o755)

"""Configurations executed by GRUB itself: `grub-emu`, a whole batch in one process, its answers in environment blocks.

GRUB's emulator has no `linux` and no `initrd`: functions of these names note the words that they are given. It finds
the batch on an ext2 image, so that `save_env` writes there. After each entry it waits in the menu for a key; its
standard input is one endless escape, which leaves the menu.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from quietcore.host.grub.environment_block import made, variables

PROGRAM = shutil.which("grub-emu")
_OUT_BYTES = 16384
_DRIVER = """\
function linux {
  zz_out="L"
  for zz_w in "$@"; do
    zz_out="${zz_out}<$zz_w>"
  done
  export zz_out
}
function initrd {
  zz_out="${zz_out}I"
  for zz_w in "$@"; do
    zz_out="${zz_out}<$zz_w>"
  done
  save_env -f $prefix/out zz_out chosen
}
"""


@dataclass(frozen=True)
class Case:
    """A configuration with its files by path below its folder; texts are bytes as latin-1 characters."""

    text: str
    files: tuple[tuple[str, str], ...] = ()
    block: str = ""  # grubenv, none where it is empty


@dataclass(frozen=True)
class Answer:
    """What GRUB gave to `linux` and `initrd` (None where it booted nothing), the way, and the block afterwards."""

    out: str | None
    chosen: str
    block: str


def execute(cases: Sequence[Case], seconds: int = 60) -> list[Answer]:
    """Return GRUB's answer for each case, in order. Raises AssertionError where the emulator does not finish.

    `seconds` are of processor time for each hundred cases: a crowded machine takes longer.
    """
    assert PROGRAM is not None
    limit = ["prlimit", f"--cpu={seconds * (len(cases) // 100 + 1)}"]
    with tempfile.TemporaryDirectory(prefix="quietcore-grub-") as name:
        folder = Path(name)
        tree = folder / "tree"
        for index, case in enumerate(cases):
            place = tree / f"c{index}"
            place.mkdir(parents=True)
            _put(place / "grub.cfg", case.text)
            _put(place / "out", made(size=_OUT_BYTES))
            if case.block:
                _put(place / "grubenv", case.block)
            for path, text in case.files:
                (place / path).parent.mkdir(parents=True, exist_ok=True)
                _put(place / path, text)
        # No loop: a case may `break` out of it.
        each = (f"prefix=(hd0)/c{index}\nconfigfile $prefix/grub.cfg\n" for index in range(len(cases)))
        driver = _DRIVER + "".join(each) + "exit\n"
        (tree / "grub").mkdir()
        _put(tree / "grub/grub.cfg", driver)
        image = folder / "disk.img"
        blocks = 4000 + 40 * len(cases)
        _run(
            "mke2fs",
            "-q",
            "-t",
            "ext2",
            "-b",
            "1024",
            "-N",
            str(12 * len(cases) + 200),
            "-d",
            str(tree),
            str(image),
            str(blocks),
        )
        (folder / "map").write_text(f"(hd0) {image}\n")
        zeros = os.open("/dev/zero", os.O_RDONLY | os.O_CLOEXEC)
        keys = subprocess.Popen(["tr", "\\000", "\\033"], stdin=zeros, stdout=subprocess.PIPE)
        os.close(zeros)
        try:
            subprocess.run(
                [*limit, PROGRAM, "-m", str(folder / "map"), "-r", "hd0", "-d", "/grub"],
                stdin=keys.stdout,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "TERM": "dumb", "ESCDELAY": "0"},
                timeout=900,
                check=False,
            )
        finally:
            keys.kill()
            keys.wait()
            assert keys.stdout is not None
            keys.stdout.close()
        after = folder / "after"
        after.mkdir()
        _run("debugfs", "-R", f"rdump / {after}", str(image))
        return [_answer(after / f"c{index}") for index in range(len(cases))]


def _answer(place: Path) -> Answer:
    found = variables((place / "out").read_bytes().decode("latin-1"))
    block = place / "grubenv"
    return Answer(
        out=found.get("zz_out"),
        chosen=found.get("chosen", ""),
        block=block.read_bytes().decode("latin-1") if block.exists() else "",
    )


def _put(path: Path, text: str) -> None:
    path.write_bytes(text.encode("latin-1"))


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")

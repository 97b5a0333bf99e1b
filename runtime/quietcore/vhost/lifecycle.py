"""A virtual host's life: up, snapshot, restore, down."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from quietcore.errors import QuietcoreError
from quietcore.vhost import accelerator, image, machine, process, programs, record, sources, space, ssh
from quietcore.vhost.machine import Shape
from quietcore.vhost.monitor import Monitor
from quietcore.vhost.places import Places, places
from quietcore.vhost.progress import Progress
from quietcore.vhost.record import Info, info, names, require_up
from quietcore.vhost.start import RESTORE_SECONDS, Start, save, set_clock

# What a host may come to write on top of its image: changes, and the memory of a few snapshots.
_HOST_BYTES = 3000 * 1024 * 1024
_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,40}")


@contextlib.contextmanager
def _lock(host: Places, progress: Progress) -> Iterator[None]:
    with programs.locked(host.root / f".{host.name}.lock", progress, f"busy with the host {host.name}"):
        yield


def build(release: str | None = None, *, fresh: bool = False, mirror: str | None = None) -> image.Image:
    """Return the image of ``release`` (default: the controller's own), made unless it is there."""
    return image.build(
        places("demo").root, release or sources.default_release(), Progress(), fresh=fresh, mirror=mirror
    )


def up(
    name: str | None = None,
    *,
    release: str | None = None,
    shape: Shape | None = None,
    cold: bool = False,
    mirror: str | None = None,
    progress: Progress | None = None,
) -> Info:
    """Bring the host up and return when it answers ssh and has finished booting.

    A running host is left as it is. A stopped one boots from its own disk. A new one starts from the memory of an
    earlier boot of the same image where there is one, unless ``cold``. On failure, Ctrl-C included, no qemu stays.
    """
    say = progress or Progress()
    host = places(name)
    with _lock(host, say):
        running = info(host.name)
        if running is not None:
            return _already_up(host, running, release, say)
        process.end(host)  # one that an interrupted start left behind
        programs.require_tools(machine.TOOLS)
        firmware = machine.find_firmware()
        made = _kept_image(host, release) or image.build(
            host.root, release or sources.default_release(), say, mirror=mirror
        )
        wanted = shape or Shape()
        choice = accelerator.choose(made, wanted, firmware, host.accelerator, say)
        say.say(f"{choice.describe()}; {wanted.describe()}, image {made.key}")
        _demand_memory(wanted)
        space.demand(host.root, _HOST_BYTES, f"the host {host.name}", variable="QUIETCORE_VHOST_DIR")
        start = Start(host, made, wanted, choice, firmware, say)
        return start.run(cold=cold)


def _demand_memory(shape: Shape, meminfo: Path = Path("/proc/meminfo")) -> None:
    found = re.search(r"MemAvailable:\s*(\d+) kB", meminfo.read_text(encoding="utf-8"))
    available = int(found[1]) // 1024 if found else shape.memory
    if available < shape.memory:
        raise QuietcoreError(
            "not enough memory for the virtual host",
            where=str(meminfo),
            found=f"{available} MiB available",
            expected=f"{shape.memory} MiB",
            remedy="end something, or give it less with --memory (1024 is enough to boot)",
        )


def _kept_image(host: Places, release: str | None) -> image.Image | None:
    """Return the image under the disk of a host that was stopped, whatever is today's; None without such a disk."""
    key = record.read(host).get("image")
    made = image.Image(host.images / str(key))
    if not (key and host.disk.is_file() and made.disk.is_file()):
        return None
    _refuse_another_release(host, made.key.split("-", 1)[0], release)
    return made


def _refuse_another_release(host: Places, found: str, wanted: str | None) -> None:
    if wanted and wanted != found:
        raise QuietcoreError(
            "the virtual host has another release",
            where=host.name,
            found=found,
            expected=wanted,
            remedy=f"quietcore vhost down --name {host.name}, then up",
        )


def _already_up(host: Places, running: Info, release: str | None, say: Progress) -> Info:
    _refuse_another_release(host, running.release, release)
    with say.step("waiting for ssh"):
        process.wait_for(host, lambda: ssh.answers(running.port), 120, what="no answer from ssh")
    return Info(**{**asdict(running), "came_up": "already up", "seconds": 0.0})


def _checked_tag(tag: str) -> str:
    if not _TAG.fullmatch(tag):
        raise QuietcoreError(
            "not a name for a snapshot",
            found=repr(tag),
            expected="letters, digits, '.', '_' and '-'",
            remedy="rename",
        )
    return tag


def snapshot_names(name: str | None = None, *, timeout: float = 120.0) -> list[str]:
    """Return the snapshots of a running host, oldest first."""
    host = require_up(name).places
    with Monitor(host.folder, timeout=timeout) as monitor:
        lines = monitor.human("info snapshots").splitlines()
    # "--  booted  236 MiB  2026-11-21 03:43:35  00:00:35.608"
    return [words[1] for words in map(str.split, lines) if len(words) > 4 and words[0] == "--"]


def snapshot(tag: str, name: str | None = None, *, progress: Progress | None = None) -> None:
    """Keep disk, memory and firmware of a running host as ``tag``; an older one of that name is replaced."""
    say = progress or Progress()
    host = require_up(name).places
    with _lock(host, say), say.step(f"taking snapshot {_checked_tag(tag)}"):
        space.demand(host.root, 1024 * 1024 * 1024, f"snapshot {tag}", variable="QUIETCORE_VHOST_DIR")
        save(host, tag)


def forget(tag: str, name: str | None = None) -> None:
    """Remove the snapshot ``tag`` of a running host."""
    host = require_up(name).places
    with Monitor(host.folder) as monitor:
        said = monitor.human(f"delvm {_checked_tag(tag)}")
    if said.strip():
        raise QuietcoreError(f"no snapshot {tag} removed", where=host.name, found=" ".join(said.split()))


def restore(tag: str, name: str | None = None, *, progress: Progress | None = None) -> None:
    """Take a running host back to the snapshot ``tag``, and its clock to the present."""
    say = progress or Progress()
    running = require_up(name)
    host = running.places
    with _lock(host, say), say.step(f"restoring snapshot {_checked_tag(tag)}"):
        ssh.close_shared(host)
        with Monitor(host.folder) as monitor:
            said = monitor.human(f"loadvm {tag}")
            if said.strip():
                raise QuietcoreError(
                    f"cannot restore {tag}",
                    where=host.name,
                    found=" ".join(said.split()),
                    remedy="`quietcore vhost status` lists the snapshots",
                )
            monitor.command("cont")
        process.wait_for(host, lambda: ssh.answers(running.port), RESTORE_SECONDS, what="no answer from ssh")
        set_clock(host)


def down(name: str | None = None, *, keep: bool = False, progress: Progress | None = None) -> bool:
    """End the host and remove its disk; with ``keep`` shut it down properly and leave the disk for the next `up`.

    Returns whether there was anything to end or remove. The images stay.
    """
    say = progress or Progress()
    host = places(name)
    if not host.folder.is_dir():
        return False
    with _lock(host, say):
        with contextlib.suppress(subprocess.TimeoutExpired):
            ssh.close_shared(host)
        if keep:
            with say.step(f"shutting {host.host} down"):
                if not process.power_down(host, 120):
                    say.say("it did not go down by itself; ending it")
            process.end(host)
            return True
        process.end(host)
        process.keep_logs(host)
        process.remove(host)
    return True


def remove_images() -> int:
    """Remove every image of this state folder; return how many there were. Hosts must be down."""
    left = names()
    if left:
        raise QuietcoreError(
            "hosts still use the images",
            found=", ".join(left),
            remedy="`quietcore vhost down --name …` for each first",
        )
    folder = places("demo").images
    count = len([p for p in folder.glob("*-*") if p.is_dir()]) if folder.is_dir() else 0
    shutil.rmtree(folder, ignore_errors=True)
    return count

"""A virtual host's life: up, snapshot, restore, down."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from quietcore.errors import ExitCode, QuietcoreError
from quietcore.vhost import accelerator, image, machine, process, programs, sources, space, ssh
from quietcore.vhost.machine import Shape
from quietcore.vhost.monitor import Monitor
from quietcore.vhost.places import RESERVED, Places, places
from quietcore.vhost.progress import Progress

BOOTED = "booted"
_BOOT_SECONDS = {"kvm": 120.0, "tcg": 300.0}
_RESTORE_SECONDS = 40.0
# What a host may come to write on top of its image: changes, and the memory of a few snapshots.
_HOST_BYTES = 3000 * 1024 * 1024
_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,40}")


@dataclass(frozen=True)
class Info:
    """A virtual host that is up: how to reach it and how it came up."""

    name: str
    host: str  # its name in ssh_config and in the inventory
    folder: Path
    ssh_config: Path
    port: int  # of 127.0.0.1
    pid: int
    release: str
    image: str
    accelerator: str  # kvm or tcg
    reason: str  # why that one
    cpus: int
    memory: int  # MiB
    came_up: str  # "booted", "restored" or "already up"
    seconds: float  # it took

    @property
    def places(self) -> Places:
        """Return the files of the host."""
        return Places(self.folder.parent, self.name)

    def ssh_command(self, *remote: str) -> list[str]:
        """Return the command line of a shell on the host, or of ``remote`` there."""
        return ssh.command(self.places, remote)

    def exec(
        self, remote: str, *, input_text: str | None = None, timeout: float | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run a shell command as root on the host; QuietcoreError where it fails and ``check`` is set."""
        return ssh.run(self.places, remote, input_text=input_text, timeout=timeout, check=check)

    def copy(self, sources_: Sequence[Path], destination: str) -> None:
        """Copy files and folders into a folder of the host."""
        ssh.copy(self.places, sources_, destination)


def _record(host: Places) -> dict[str, Any]:
    try:
        found = json.loads(host.record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write_record(host: Places, info: Info) -> None:
    values = {name: str(value) if isinstance(value, Path) else value for name, value in asdict(info).items()}
    beside = host.record.with_suffix(".new")
    beside.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    beside.rename(host.record)


def info(name: str | None = None) -> Info | None:
    """Return what is known of a host that is running, None where it is not."""
    host = places(name)
    pid = process.running_pid(host)
    values = _record(host)
    if pid is None or values.get("pid") != pid:
        return None
    try:
        return Info(**{**values, "folder": host.folder, "ssh_config": host.ssh_config})
    except TypeError:
        return None  # written by another version


def require_up(name: str | None = None) -> Info:
    """Return what is known of the host; QuietcoreError with the command that starts it where it is not up."""
    found = info(name)
    if found is None:
        host = places(name)
        raise QuietcoreError(
            "the virtual host is not up", where=host.name, remedy=f"quietcore vhost up --name {host.name}"
        )
    return found


def names() -> list[str]:
    """Return the names of all hosts of this state folder, running or not."""
    root = places("demo").root
    found = root.iterdir() if root.is_dir() else iter(())
    return sorted(
        p.name for p in found if p.is_dir() and p.name not in RESERVED and not p.name.startswith(".")
    )


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
        start = _Start(host, made, wanted, choice, firmware, say)
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
    key = _record(host).get("image")
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


class _Start:
    """One start of a host, from nothing or from its kept disk, until it answers."""

    def __init__(
        self,
        host: Places,
        made: image.Image,
        shape: Shape,
        choice: accelerator.Choice,
        firmware: machine.Firmware,
        say: Progress,
    ) -> None:
        self.host = host
        self.image = made
        self.shape = shape
        self.choice = choice
        self.firmware = firmware
        self.say = say
        self.started = time.monotonic()
        self.port = 0

    @property
    def memory_of_boot(self) -> Path:
        """Return the folder of the snapshot that machines of just this kind may start from."""
        text = machine.fingerprint(self.shape, self.choice.accelerator, self.firmware)
        return self.image.folder / f"{BOOTED}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"

    def run(self, *, cold: bool) -> Info:
        kept = self.host.disk.is_file() and _record(self.host).get("image") == self.image.key
        try:
            if not kept and not cold and self.memory_of_boot.is_dir():
                restored = self._restore()
                if restored:
                    return restored
            if not kept:
                self._new_disk()
            self._launch(None)
            with self.say.step(f"booting {self.host.host}"):
                limit = _BOOT_SECONDS[self.choice.accelerator]
                process.wait_for(self.host, self._answers, limit, what="no answer from ssh")
                done = ssh.run(self.host, "systemctl is-system-running --wait", timeout=limit, check=False)
            state = done.stdout.strip()
            if state != "running":
                self.say.say(
                    f"systemd says {state or done.stderr.strip()!r}, not running: see `systemctl --failed`"
                )
            info_ = self._finish("booted")
            if not kept and state == "running":
                try:
                    self._remember()
                except (OSError, QuietcoreError) as error:
                    # The host is up; the next new one will have to boot as this one did.
                    self.say.say(f"no booted snapshot: {error}")
        except BaseException:
            process.end(self.host)
            raise
        return info_

    def _new_disk(self) -> None:
        process.remove(self.host)
        self.host.folder.mkdir(parents=True)
        backing = os.path.relpath(self.image.disk, self.host.folder)
        log = self.host.qemu_log
        firmware = str(self.firmware.variables)
        programs.run(
            ["qemu-img", "create", "-q", "-f", "qcow2", "-b", backing, "-F", "raw", str(self.host.disk)],
            log=log,
        )
        programs.run(
            ["qemu-img", "convert", "-O", "qcow2", firmware, str(self.host.firmware_variables)],
            log=log,
        )

    def _launch(self, snapshot: str | None) -> None:
        for attempt in range(3):
            self.port = ssh.free_port()
            command = machine.arguments(
                name=self.host.host,
                shape=self.shape,
                accelerator=self.choice.accelerator,
                firmware=self.firmware,
                port=self.port,
                snapshot=snapshot,
            )
            try:
                process.launch(self.host, command)
            except QuietcoreError as error:
                # Somebody took the port between our looking and qemu's.
                if attempt == 2 or "host forwarding" not in str(error):
                    raise
            else:
                break
        ssh.write_configuration(self.host, self.port, self.image.host_key.read_text(encoding="utf-8"))

    def _restore(self) -> Info | None:
        """Start from the remembered boot; None, and the memory forgotten, where that does not answer."""
        process.remove(self.host)
        self.host.folder.mkdir(parents=True)
        with self.say.step(f"restoring {self.host.host} from its booted snapshot"):
            for file in (self.host.disk, self.host.firmware_variables):
                shutil.copyfile(self.memory_of_boot / file.name, file)
            try:
                self._launch(BOOTED)
                process.wait_for(
                    self.host,
                    lambda: ssh.answers(self.port, 10.0),
                    _RESTORE_SECONDS,
                    what="no answer from ssh",
                )
                set_clock(self.host)
            except QuietcoreError as error:
                self.say.say(f"the booted snapshot does not come up ({error}); booting instead")
                process.end(self.host)
                shutil.rmtree(self.memory_of_boot, ignore_errors=True)
                return None
        return self._finish("restored")

    def _answers(self) -> bool:
        """Return whether ssh answers; the longer wait comes once the console says that sshd runs.

        A probe from before waits for qemu's repeated tries, whose intervals grow; many short ones afterwards keep
        an emulated sshd from answering any.
        """
        started = process.console_shows(self.host, b"OpenBSD Secure Shell server")
        return ssh.answers(self.port, 20.0 if started else 2.0)

    def _finish(self, came_up: str) -> Info:
        pid = process.running_pid(self.host)
        if pid is None:
            raise QuietcoreError("qemu ended", where=str(self.host.qemu_log), code=ExitCode.UNKNOWN)
        found = Info(
            name=self.host.name,
            host=self.host.host,
            folder=self.host.folder,
            ssh_config=self.host.ssh_config,
            port=self.port,
            pid=pid,
            release=self.image.key.split("-", 1)[0],
            image=self.image.key,
            accelerator=self.choice.accelerator,
            reason=self.choice.reason,
            cpus=self.shape.cpus,
            memory=self.shape.memory,
            came_up=came_up,
            seconds=round(time.monotonic() - self.started, 1),
        )
        _write_record(self.host, found)
        return found

    def _remember(self) -> None:
        """Take the snapshot `booted` and keep a copy with the image for the next new host of this kind."""
        target = self.memory_of_boot
        with self.say.step("taking the booted snapshot"):
            _save(self.host, BOOTED)
            if target.exists():
                return
            beside = Path(tempfile.mkdtemp(dir=self.image.folder, prefix=f".{target.name}-"))
            try:
                with Monitor(self.host.folder) as monitor:
                    monitor.command("stop")  # it also writes out what qemu still holds of the disks
                    try:
                        for file in (self.host.disk, self.host.firmware_variables):
                            shutil.copyfile(file, beside / file.name)
                    finally:
                        monitor.command("cont")
                with contextlib.suppress(OSError):  # another process was quicker
                    beside.rename(target)
            finally:
                shutil.rmtree(beside, ignore_errors=True)


def set_clock(host: Places) -> None:
    """Set the guest's clock to the controller's: after a restore it shows the time of the snapshot."""
    ssh.run(host, "true", timeout=60)  # opens the shared connection, so that the next one is quick
    ssh.run(host, f"date --utc --set=@{time.time():.3f}", timeout=60)


def _checked_tag(tag: str) -> str:
    if not _TAG.fullmatch(tag):
        raise QuietcoreError(
            "not a name for a snapshot",
            found=repr(tag),
            expected="letters, digits, '.', '_' and '-'",
            remedy="rename",
        )
    return tag


def _save(host: Places, tag: str) -> None:
    with Monitor(host.folder) as monitor:
        said = monitor.human(f"savevm {tag}")
    if said.strip():
        raise QuietcoreError(
            f"no snapshot {tag}", where=host.name, found=" ".join(said.split()), code=ExitCode.UNKNOWN
        )


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
        _save(host, tag)


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
        process.wait_for(host, lambda: ssh.answers(running.port), _RESTORE_SECONDS, what="no answer from ssh")
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

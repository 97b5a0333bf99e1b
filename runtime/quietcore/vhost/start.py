"""One start of a virtual host: from the memory of an earlier boot, or by booting; and the snapshots both need."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from quietcore.errors import ExitCode, QuietcoreError
from quietcore.vhost import accelerator, image, machine, process, programs, record, ssh, stale_code
from quietcore.vhost.machine import Shape
from quietcore.vhost.monitor import Monitor
from quietcore.vhost.places import Places
from quietcore.vhost.progress import Progress

BOOTED = "booted"
RESTORE_SECONDS = 40.0
_BOOT_SECONDS = {"kvm": 120.0, "tcg": 300.0}


class Start:
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

    def run(self, *, cold: bool) -> record.Info:
        """Bring the host up; whatever goes wrong, Ctrl-C included, no qemu stays."""
        kept = self.host.disk.is_file() and record.read(self.host).get("image") == self.image.key
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
        if self.choice.accelerator == "tcg":
            stale_code.start(self.host.folder, self.host.qemu_log)
        ssh.write_configuration(self.host, self.port, self.image.host_key.read_text(encoding="utf-8"))

    def _restore(self) -> record.Info | None:
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
                    RESTORE_SECONDS,
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

    def _finish(self, came_up: str) -> record.Info:
        pid = process.running_pid(self.host)
        if pid is None:
            raise QuietcoreError("qemu ended", where=str(self.host.qemu_log), code=ExitCode.UNKNOWN)
        found = record.Info(
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
            **asdict(self.shape),
            came_up=came_up,
            seconds=round(time.monotonic() - self.started, 1),
        )
        record.write(self.host, found)
        return found

    def _remember(self) -> None:
        """Take the snapshot `booted` and keep a copy with the image for the next new host of this kind."""
        target = self.memory_of_boot
        with self.say.step("taking the booted snapshot"):
            save(self.host, BOOTED)
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


def save(host: Places, tag: str) -> None:
    """Keep disk, memory and firmware of a running host as ``tag``; an older one of that name is replaced."""
    with Monitor(host.folder) as monitor:
        said = monitor.human(f"savevm {tag}")
    if said.strip():
        raise QuietcoreError(
            f"no snapshot {tag}", where=host.name, found=" ".join(said.split()), code=ExitCode.UNKNOWN
        )

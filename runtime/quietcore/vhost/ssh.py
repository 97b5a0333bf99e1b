"""The way in: ssh configuration, waiting for an answer, running and copying."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from quietcore.errors import ExitCode, QuietcoreError
from quietcore.vhost.places import Places


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody has at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def control_folder() -> Path:
    """Return a private folder with a short path for ssh's shared connections (a socket's path is limited)."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    parent = Path(runtime) if runtime and Path(runtime).is_dir() else Path(tempfile.gettempdir())
    folder = parent / f"quietcore-ssh-{os.geteuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if found.st_uid != os.geteuid() or found.st_mode & 0o077 or folder.is_symlink():
        raise QuietcoreError(
            "folder for ssh's shared connections is not private",
            where=str(folder),
            expected="a folder of yours, mode 0700",
            remedy="remove it",
        )
    return folder


def configuration(host: Places, port: int, control: Path) -> str:
    """Return the text of ``ssh_config`` for the host on ``port`` of 127.0.0.1."""
    return f"""# Written by `quietcore vhost up`: ssh -F {host.ssh_config} {host.host}
Host {host.host}
    HostName 127.0.0.1
    Port {port}
    User root
    IdentityFile "{host.identity}"
    IdentitiesOnly yes
    IdentityAgent none
    HostKeyAlias {host.host}
    UserKnownHostsFile "{host.known_hosts}"
    GlobalKnownHostsFile none
    StrictHostKeyChecking yes
    PasswordAuthentication no
    BatchMode yes
    ForwardAgent no
    ConnectTimeout 20
    ServerAliveInterval 10
    ServerAliveCountMax 6
    ControlMaster auto
    ControlPersist 120
    ControlPath "{control}/%C"
    LogLevel ERROR
"""


def write_configuration(host: Places, port: int, host_key: str) -> None:
    """Write ``ssh_config`` and ``known_hosts`` of the host."""
    kind, key = host_key.split()[:2]
    host.known_hosts.write_text(f"{host.host} {kind} {key}\n", encoding="utf-8")
    host.ssh_config.write_text(configuration(host, port, control_folder()), encoding="utf-8")


def command(host: Places, remote: Sequence[str] = (), *, options: Sequence[str] = ()) -> list[str]:
    """Return the ssh command line that runs ``remote`` (shell words) on the host, or opens a shell."""
    return ["ssh", "-F", str(host.ssh_config), *options, host.host, *remote]


def answers(port: int, timeout: float = 3.0) -> bool:
    """Return whether an ssh server greets on ``port``: qemu accepts connections long before the guest does."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=timeout) as connection:
            connection.settimeout(timeout)
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def run(
    host: Places,
    remote: str,
    *,
    input_text: str | None = None,
    timeout: float | None = None,
    check: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Run a shell command on the host; raise QuietcoreError where it fails and ``check`` is set."""
    try:
        done = subprocess.run(
            command(host, [remote]),
            input=input_text,
            stdin=subprocess.DEVNULL if input_text is None else None,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise QuietcoreError(
            "command took too long",
            where=f"{host.host}: {remote}",
            expected=f"at most {timeout:.0f} s",
            code=ExitCode.UNKNOWN,
        ) from error
    if check and done.returncode != 0:
        raise QuietcoreError(
            f"command failed (exit status {done.returncode})",
            where=f"{host.host}: {remote}",
            found=(done.stderr or done.stdout).strip()[-400:],
            code=ExitCode.UNKNOWN,
        )
    return done


def close_shared(host: Places) -> None:
    """End the shared connection, which does not survive the guest going back in time."""
    if host.ssh_config.is_file():
        subprocess.run(command(host, options=["-O", "exit"]), capture_output=True, check=False, timeout=20)


def copy(host: Places, sources: Sequence[Path], destination: str) -> None:
    """Copy files and folders into the folder ``destination`` of the host; it must exist there."""
    words = [
        "scp",
        "-q",
        "-r",
        "-p",
        "-F",
        str(host.ssh_config),
        *map(str, sources),
        f"{host.host}:{destination}/",
    ]
    done = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        raise QuietcoreError(
            "copying to the virtual host failed",
            where=f"{host.host}:{destination}",
            found=done.stderr.strip()[-400:],
            code=ExitCode.UNKNOWN,
        )

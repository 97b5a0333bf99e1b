"""A conversation with qemu over its QMP socket."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from quietcore.errors import ExitCode, QuietcoreError

SOCKET_NAME = "monitor.sock"


class Monitor:
    """Sends commands to the qemu whose socket is in ``folder``; a context manager.

    Raises QuietcoreError when qemu refuses a command, OSError when nobody listens.
    """

    def __init__(self, folder: Path, *, timeout: float = 120.0) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeout)
        # A socket's path holds 107 bytes, a checkout's may be longer: go through a descriptor of the folder.
        folder_descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY)
        try:
            self._socket.connect(f"/proc/self/fd/{folder_descriptor}/{SOCKET_NAME}")
        except OSError:
            self._socket.close()
            raise
        finally:
            os.close(folder_descriptor)
        self._lines = self._socket.makefile("r", encoding="utf-8")
        self._receive()  # the greeting
        self.command("qmp_capabilities")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        self._lines.close()
        self._socket.close()

    def _receive(self) -> dict[str, Any]:
        line = self._lines.readline()
        if not line:
            raise ConnectionResetError("qemu closed its monitor")
        message: dict[str, Any] = json.loads(line)
        return message

    def command(self, execute: str, **arguments: object) -> object:
        """Run a QMP command and return its result; events in between are skipped."""
        request: dict[str, object] = {"execute": execute}
        if arguments:
            request["arguments"] = arguments
        self._socket.sendall(json.dumps(request).encode() + b"\n")
        while True:
            message = self._receive()
            if "error" in message:
                raise QuietcoreError(
                    f"qemu refused {execute}", found=message["error"].get("desc"), code=ExitCode.UNKNOWN
                )
            if "return" in message:
                return message["return"]

    def human(self, line: str) -> str:
        """Run a command of qemu's human monitor, which alone knows snapshots; return what it printed."""
        return str(self.command("human-monitor-command", **{"command-line": line}))

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

    Raises QuietcoreError when qemu refuses a command, does not answer in time, or is not there.
    """

    def __init__(self, folder: Path, *, timeout: float = 120.0, name: str = SOCKET_NAME) -> None:
        self._path = folder / name
        self._events: list[str] = []
        self._timeout = timeout
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeout)
        # A socket's path holds 107 bytes, a checkout's may be longer: go through a descriptor of the folder.
        folder_descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY)
        try:
            self._socket.connect(f"/proc/self/fd/{folder_descriptor}/{name}")
        except OSError as error:
            self._socket.close()
            raise self._silent(error) from error
        finally:
            os.close(folder_descriptor)
        self._lines = self._socket.makefile("r", encoding="utf-8")
        try:
            self._receive()  # the greeting
            self.command("qmp_capabilities")
        except BaseException:
            self.close()
            raise

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

    def _silent(self, error: OSError) -> QuietcoreError:
        return QuietcoreError(
            "qemu does not answer on its monitor",
            where=str(self._path),
            found=f"nothing within {self._timeout:.0f} s"
            if isinstance(error, TimeoutError)
            else error.strerror,
            remedy="see whether it is stopped (`ps`, state T); `quietcore vhost down` ends it",
            code=ExitCode.UNKNOWN,
        )

    def _receive(self) -> dict[str, Any]:
        try:
            line = self._lines.readline()
        except OSError as error:
            raise self._silent(error) from error
        if not line:
            raise self._silent(ConnectionResetError(0, "it hung up"))
        message: dict[str, Any] = json.loads(line)
        return message

    def command(self, execute: str, **arguments: object) -> object:
        """Run a QMP command and return its result; events in between are kept for `taken_events`."""
        request: dict[str, object] = {"execute": execute}
        if arguments:
            request["arguments"] = arguments
        try:
            self._socket.sendall(json.dumps(request).encode() + b"\n")
        except OSError as error:
            raise self._silent(error) from error
        while True:
            message = self._receive()
            if "event" in message:
                self._events = [*self._events[-99:], str(message["event"])]
            if "error" in message:
                raise QuietcoreError(
                    f"qemu refused {execute}", found=message["error"].get("desc"), code=ExitCode.UNKNOWN
                )
            if "return" in message:
                return message["return"]

    def taken_events(self) -> list[str]:
        """Return the names of the events that came since the last call, the oldest first, at most the last hundred."""
        taken, self._events = self._events, []
        return taken

    def human(self, line: str) -> str:
        """Run a command of qemu's human monitor, which alone knows snapshots; return what it printed."""
        return str(self.command("human-monitor-command", **{"command-line": line}))

"""A child process that measures blocks when told to."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Self


class WorkerError(Exception):
    """A worker ended or said something that is no answer."""


class Worker:
    """quietcore-bench or a peer; one request and one answer a line, both ways."""

    def __init__(self, name: str, command: list[str], cpu: int) -> None:
        self.name = name
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        if cpu >= 0:
            os.sched_setaffinity(self._process.pid, {cpu})
        self.version = str(self._answer().get("version", name))

    def block(self, case: str, source: Path | str, seconds: float) -> dict[str, Any]:
        """Measure one block; returns operations, seconds and whatever else the case reports."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{case} {source} {seconds}\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # the answer tells
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise WorkerError(f"{self.name} ended with status {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

"""A host that goes dark, or whose disk is full, after so many writes."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from quietcore.host import boot_confirm, boot_loader
from quietcore.host.boot_environment import write_variable
from quietcore.host.journal import Journal
from quietcore.host.machine import Machine
from quietcore.host.targets import write_target


class PowerCutError(BaseException):
    """The host goes dark."""


@contextlib.contextmanager
def cut_after(limit: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let only so many writes happen."""
    done = 0

    def counted(function: Any) -> Any:
        def call(*arguments: Any, **more: Any) -> Any:
            nonlocal done
            if done >= limit:
                raise PowerCutError
            done += 1
            return function(*arguments, **more)

        return call

    with monkeypatch.context() as patch:
        for module in ("hands", "boot_change", "boot_confirm"):
            patch.setattr(f"quietcore.host.{module}.write_target", counted(write_target))
        patch.setattr(boot_confirm, "write_variable", counted(write_variable))
        patch.setattr(Journal, "append", counted(Journal.append))
        patch.setattr(boot_loader, "regenerate_menu", counted(boot_loader.regenerate_menu))
        yield


@contextlib.contextmanager
def full_after(limit: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let only so many files be written; removing one always works, and so does what the kernel's files hold."""
    done = 0

    def counted(function: Any) -> Any:
        def call(*arguments: Any, **more: Any) -> Any:
            nonlocal done
            if done >= limit:
                raise OSError(errno.ENOSPC, "No space left on device")
            done += 1
            return function(*arguments, **more)

        return call

    with monkeypatch.context() as patch:
        patch.setattr(Machine, "replace_file", counted(Machine.replace_file))
        journal_os = SimpleNamespace(**{**vars(os), "write": counted(os.write)})
        patch.setattr("quietcore.host.journal.os", journal_os)
        patch.setattr(Machine, "rename_file", counted(Machine.rename_file))
        yield

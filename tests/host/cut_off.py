"""A host that goes dark after so many writes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from quietcore.host import boot_confirm, boot_loader
from quietcore.host.boot_environment import write_variable
from quietcore.host.journal import Journal
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
        for module in ("converge", "boot_change", "boot_confirm"):
            patch.setattr(f"quietcore.host.{module}.write_target", counted(write_target))
        patch.setattr(boot_confirm, "write_variable", counted(write_variable))
        patch.setattr(Journal, "append", counted(Journal.append))
        patch.setattr(boot_loader, "regenerate_menu", counted(boot_loader.regenerate_menu))
        yield

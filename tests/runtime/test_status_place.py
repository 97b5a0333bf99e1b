"""Commands that look at a runtime find the unit's status, or that of a local pipeline of the same user."""

import os
from pathlib import Path

import pytest

from quietcore.errors import ExitCode, QuietcoreError
from quietcore.observe.status_place import local_folder_prefix, local_statuses, status_path

NOBODY = {"RUNTIME_DIRECTORY": "/nonexistent"}


def pipeline(temporary: Path, pid: int, tail: str = "x", mode: int = 0o700) -> Path:
    folder = temporary / f"{local_folder_prefix(pid)}{tail}"
    folder.mkdir()
    folder.chmod(mode)
    (folder / "runtime.json").write_text("{}")
    return folder / "runtime.json"


def test_the_units_status_comes_first(tmp_path: Path) -> None:
    pipeline(tmp_path, os.getpid())
    (tmp_path / "runtime.json").touch()
    found = status_path(None, {"RUNTIME_DIRECTORY": str(tmp_path)}, tmp_path)
    assert found == tmp_path / "runtime.json"


def test_a_local_pipeline_is_found(tmp_path: Path) -> None:
    assert status_path(None, NOBODY, tmp_path) == Path("/nonexistent/runtime.json")
    there = pipeline(tmp_path, os.getpid())
    assert status_path(None, NOBODY, tmp_path) == there


def test_what_is_named_is_taken_as_it_is(tmp_path: Path) -> None:
    pipeline(tmp_path, os.getpid())
    assert status_path(Path("/elsewhere"), NOBODY, tmp_path) == Path("/elsewhere")


def test_of_several_none_is_guessed(tmp_path: Path) -> None:
    there = [pipeline(tmp_path, os.getpid(), tail) for tail in "ab"]
    with pytest.raises(QuietcoreError, match="several local pipelines") as caught:
        status_path(None, NOBODY, tmp_path)
    assert all(str(path) in caught.value.message() for path in there)
    assert caught.value.code is ExitCode.UNKNOWN


def test_one_that_ended_or_that_others_may_write_to_is_none(tmp_path: Path) -> None:
    pipeline(tmp_path, 2**22 + 1)
    pipeline(tmp_path, os.getpid(), "open", 0o777)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    (elsewhere / "runtime.json").touch()
    (tmp_path / f"{local_folder_prefix(os.getpid())}link").symlink_to(elsewhere)
    (tmp_path / "quietcore-local-x-y").mkdir(mode=0o700)
    assert local_statuses(tmp_path) == []

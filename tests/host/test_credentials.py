"""Secrets at rest: sealed, replaced only where they changed, and never half written."""

from __future__ import annotations

import importlib.util
import stat
import sys
from pathlib import Path
from types import ModuleType

import pytest

MODULE = Path(__file__).resolve().parents[2] / "ansible/plugins/modules/quietcore_credentials.py"


@pytest.fixture(scope="module")
def credentials() -> ModuleType:
    spec = importlib.util.spec_from_file_location("quietcore_credentials", MODULE)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def seal(verb: str, name: str, data: bytes) -> bytes:
    """A cipher of the same form as systemd's: bound to the name, and different each time is not needed here."""
    key = sum(name.encode()) % 255 + 1
    return bytes(byte ^ key for byte in data)


def test_a_secret_is_written_once_and_not_in_clear(credentials: ModuleType, tmp_path: Path) -> None:
    folder = tmp_path / "credentials"
    assert credentials.bring(folder, {"api_key": "topsecret"}, False, seal) == ["api_key"]
    file = folder / "api_key.cred"
    assert b"topsecret" not in file.read_bytes()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert credentials.bring(folder, {"api_key": "topsecret"}, False, seal) == []


def test_a_changed_secret_replaces_only_its_own_file(credentials: ModuleType, tmp_path: Path) -> None:
    credentials.bring(tmp_path, {"api_key": "one", "api_secret": "two"}, False, seal)
    before = (tmp_path / "api_key.cred").stat().st_ino
    wanted = {"api_key": "one", "api_secret": "three"}
    assert credentials.bring(tmp_path, wanted, True, seal) == ["api_secret"]
    assert seal("decrypt", "api_secret", (tmp_path / "api_secret.cred").read_bytes()) == b"two", (
        "only checked"
    )
    assert credentials.bring(tmp_path, wanted, False, seal) == ["api_secret"]
    assert seal("decrypt", "api_secret", (tmp_path / "api_secret.cred").read_bytes()) == b"three"
    assert (tmp_path / "api_key.cred").stat().st_ino == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["api_key.cred", "api_secret.cred"]


def test_a_file_open_to_others_or_sealed_elsewhere_is_written_anew(
    credentials: ModuleType, tmp_path: Path
) -> None:
    credentials.bring(tmp_path, {"api_key": "one"}, False, seal)
    (tmp_path / "api_key.cred").chmod(0o644)
    assert credentials.bring(tmp_path, {"api_key": "one"}, False, seal) == ["api_key"]

    def foreign(verb: str, name: str, data: bytes) -> bytes:
        if verb == "decrypt":
            raise credentials.CredentialError("sealed by another key")
        return data

    assert credentials.bring(tmp_path, {"api_key": "one"}, False, foreign) == ["api_key"]


@pytest.mark.parametrize("wanted", [{"../x": "s"}, {"": "s"}, {"a b": "s"}, {"ok": ""}, {"ok": 5}])
def test_names_and_secrets_are_checked_before_anything_is_written(
    credentials: ModuleType, tmp_path: Path, wanted: dict[str, str]
) -> None:
    with pytest.raises(credentials.CredentialError):
        credentials.bring(tmp_path / "c", {"fine": "s", **wanted}, False, seal)
    assert not (tmp_path / "c").exists()


def test_a_failing_seal_leaves_the_old_secret(credentials: ModuleType, tmp_path: Path) -> None:
    credentials.bring(tmp_path, {"api_key": "one"}, False, seal)
    before = (tmp_path / "api_key.cred").read_bytes()

    def broken(verb: str, name: str, data: bytes) -> bytes:
        if verb == "encrypt":
            raise credentials.CredentialError("no key")
        return seal(verb, name, data)

    with pytest.raises(credentials.CredentialError):
        credentials.bring(tmp_path, {"api_key": "two"}, False, broken)
    assert (tmp_path / "api_key.cred").read_bytes() == before


def test_removed_with_the_folder_where_it_is_empty(credentials: ModuleType, tmp_path: Path) -> None:
    folder = tmp_path / "credentials"
    credentials.bring(folder, {"api_key": "one", "other": "two"}, False, seal)
    assert credentials.remove(folder, {"api_key": "", "absent": ""}, False) == ["api_key"]
    assert [path.name for path in folder.iterdir()] == ["other.cred"]
    assert credentials.remove(folder, {"other": ""}, True) == ["other"]
    assert credentials.remove(folder, {"other": ""}, False) == ["other"]
    assert not folder.exists()

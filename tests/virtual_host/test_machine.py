"""The arguments qemu gets, and the ssh configuration, as ssh itself understands it."""

import shutil
import subprocess
from pathlib import Path

import pytest

from quietcore.errors import QuietcoreError
from quietcore.vhost import machine, ssh
from quietcore.vhost.machine import Firmware, Shape
from quietcore.vhost.places import Places

FIRMWARE = Firmware(Path("/firmware/code.fd"), Path("/firmware/vars.fd"))


def arguments(accelerator: str = "tcg", snapshot: str | None = None) -> list[str]:
    return machine.arguments(
        name="quietcore-test",
        shape=Shape(4, 1024),
        accelerator=accelerator,
        firmware=FIRMWARE,
        port=2222,
        snapshot=snapshot,
    )


def values(words: list[str], option: str) -> list[str]:
    return [words[i + 1] for i, word in enumerate(words) if word == option]


def test_one_socket_without_smt() -> None:
    words = arguments()
    assert values(words, "-smp") == ["4,sockets=1,cores=4,threads=1"]
    assert values(words, "-m") == ["1024M"]


def test_ssh_is_forwarded_from_loopback_only() -> None:
    forwards = [value for value in values(arguments(), "-netdev") if "hostfwd" in value]
    assert len(forwards) == 1
    assert "hostfwd=tcp:127.0.0.1:2222-10.0.2.15:22" in forwards[0]


def test_everything_a_snapshot_must_hold_is_qcow2() -> None:
    writable = [drive for drive in values(arguments(), "-drive") if "readonly=on" not in drive]
    assert len(writable) == 2
    assert all("format=qcow2" in drive for drive in writable)


@pytest.mark.parametrize(
    ("accelerator", "cpu"), [("kvm", "host"), ("tcg", "max,-la57,-svm,xlevel=0x8000000a")]
)
def test_cpu_model_fits_the_accelerator(accelerator: str, cpu: str) -> None:
    words = arguments(accelerator)
    assert values(words, "-accel")[0].split(",")[0] == accelerator
    assert values(words, "-cpu") == [cpu]


def test_snapshot_is_loaded_when_named() -> None:
    assert values(arguments(), "-loadvm") == []
    assert values(arguments(snapshot="booted"), "-loadvm") == ["booted"]


def test_missing_firmware_names_the_package(tmp_path: Path) -> None:
    with pytest.raises(QuietcoreError, match=r"no UEFI firmware.*apt-get install ovmf"):
        machine.find_firmware([(str(tmp_path / "code"), str(tmp_path / "vars"))])


@pytest.mark.skipif(shutil.which("ssh") is None, reason="needs the program ssh")
def test_ssh_understands_the_configuration(tmp_path: Path) -> None:
    host = Places(tmp_path / "with a space", "test")
    host.folder.mkdir(parents=True)
    ssh.write_configuration(host, 2222, "ssh-ed25519 AAAAkey root@guest")
    assert host.known_hosts.read_text() == "quietcore-test ssh-ed25519 AAAAkey\n"
    done = subprocess.run(
        ["ssh", "-G", "-F", str(host.ssh_config), "quietcore-test"],
        capture_output=True,
        text=True,
        check=True,
    )
    found = dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)
    assert (found["hostname"], found["port"], found["user"]) == ("127.0.0.1", "2222", "root")
    assert found["identityfile"].strip('"') == str(host.identity)
    assert found["userknownhostsfile"].strip('"') == str(host.known_hosts)
    assert found["stricthostkeychecking"] in ("true", "yes")
    assert found["identitiesonly"] == "yes"


def test_control_folder_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    folder = ssh.control_folder()
    folder.chmod(0o777)
    with pytest.raises(QuietcoreError, match="not private"):
        ssh.control_folder()


def test_silent_port_is_no_answer() -> None:
    assert not ssh.answers(ssh.free_port(), timeout=0.5)

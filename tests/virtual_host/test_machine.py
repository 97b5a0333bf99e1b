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


def arguments(accelerator: str = "tcg", snapshot: str | None = None, shape: Shape | None = None) -> list[str]:
    return machine.arguments(
        name="quietcore-test",
        shape=shape or Shape(4, 1024),
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
    assert values(words, "-numa") == []


def test_two_sockets_with_threads_and_memory_of_their_own() -> None:
    words = arguments(shape=Shape(12, 2560, sockets=2, threads=2, nodes=2))
    assert values(words, "-smp") == ["12,sockets=2,cores=3,threads=2"]
    assert values(words, "-object") == [
        "memory-backend-ram,id=memory0,size=1280M",
        "memory-backend-ram,id=memory1,size=1280M",
    ]
    assert values(words, "-numa") == [
        "node,nodeid=0,cpus=0-5,memdev=memory0",
        "node,nodeid=1,cpus=6-11,memdev=memory1",
    ]


@pytest.mark.parametrize(
    ("shape", "found"),
    [
        (Shape(6, sockets=4), "6 CPUs in 4 sockets"),
        (Shape(6, threads=4), "4 threads a core"),
        (Shape(4, threads=0), "0 threads a core"),
        (Shape(8, threads=2, nodes=3), "3 memory nodes for 4 cores"),
        (Shape(9, 2048, nodes=3), "3 memory nodes for 9 cores and 2048 MiB"),
    ],
)
def test_half_cores_and_uneven_nodes_are_refused(shape: Shape, found: str) -> None:
    with pytest.raises(QuietcoreError, match=found):
        shape.demand_whole()


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


@pytest.mark.parametrize(
    ("accelerator", "cpu"),
    [("kvm", "host,topoext=on"), ("tcg", "max,-la57,-svm,vendor=GenuineIntel,level=0x1f")],
)
def test_cpu_model_can_tell_its_threads(accelerator: str, cpu: str) -> None:
    assert values(arguments(accelerator, shape=Shape(4, 1024, threads=2)), "-cpu") == [cpu]


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

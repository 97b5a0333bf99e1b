"""A host that boots by grubby's entries: parameters go in and out again, and nobody else's are touched."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.host.fake_host import FakeHost, FakeMachine
from tests.host.promises import BOOT, setting

from quietcore.errors import QuietcoreError
from quietcore.host import boot_entries, boot_loader
from quietcore.host.audit import audit
from quietcore.host.converge import promise, revert
from quietcore.host.findings import Verdict
from quietcore.host.machine import Machine

ENTRIES = {
    "abc-5.14.0-70.el9.x86_64": "root=/dev/vda2 ro console=ttyS0 $tuned_params",
    "abc-5.14.0-503.el9.x86_64": "root=/dev/vda2 ro console=ttyS0 $tuned_params",
    "abc-0-rescue": "root=/dev/vda2 ro",
}


class RedHat(FakeHost):
    """The fake host with grubby instead of Debian's GRUB."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        for path in ("boot/grub", "etc/default"):
            shutil.rmtree(root / path)
        self.drop("/usr/sbin/grub-mkconfig")
        self.put("/usr/sbin/grubby", "")
        for name, options in ENTRIES.items():
            self.put(
                f"{boot_entries.FOLDER}/{name}.conf",
                f"title {name}\nlinux /vmlinuz-{name}\noptions {options}\n",
            )
        self.put(boot_entries.BLOCK, "# GRUB Environment Block\nsaved_entry=gone\ntuned_params=skew_tick=1\n")
        self.fails = ""

    def machine(self) -> Machine:
        return FakeMachine(self)

    def options(self, name: str = "abc-5.14.0-503.el9.x86_64") -> list[str]:
        return self.get(f"{boot_entries.FOLDER}/{name}.conf").splitlines()[-1].split()[1:]

    def run(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        if command[0] != "grubby":
            return super().run(command)
        self.calls.append(tuple(command))
        if self.fails:
            return subprocess.CompletedProcess(command, 1, "", self.fails)
        given = {word.partition("=")[0]: word.partition("=")[2] for word in command[1:]}
        assert given["--update-kernel"] == "ALL"
        for path in (self.root / boot_entries.FOLDER.lstrip("/")).iterdir():
            *head, last = path.read_text().splitlines()
            words = [word for word in last.split() if word not in given.get("--remove-args", "").split()]
            path.write_text("\n".join([*head, " ".join([*words, *given.get("--args", "").split()])]) + "\n")
        return subprocess.CompletedProcess(command, 0, "", "")


WANTED = [{**item, "required": False} if item["kind"] == "boot_trial" else item for item in BOOT]
WANTED = [item for item in WANTED if item["name"] != "skew_tick"]


@pytest.fixture
def redhat(tmp_path: Path) -> RedHat:
    return RedHat(tmp_path / "root")


def test_parameters_go_into_every_entry_and_out_again(redhat: RedHat) -> None:
    before = {name: redhat.options(name) for name in ENTRIES}
    outcome = promise(redhat.machine(), "boot_params", WANTED)
    assert not outcome.failures
    assert outcome.reboot_required
    assert any("grubby's entries" in note for note in outcome.notes), (
        "the one-shot is refused, and that is said"
    )
    for name in ENTRIES:
        assert "isolcpus=managed_irq,domain,3-5" in redhat.options(name)
    calls = len(redhat.calls)
    assert not promise(redhat.machine(), "boot_params", WANTED).changed
    assert not [call for call in redhat.calls[calls:] if call[0] == "grubby"]
    assert not revert(redhat.machine()).failures
    assert {name: redhat.options(name) for name in ENTRIES} == before


def test_newest_entry_is_the_default_and_variables_are_read(redhat: RedHat) -> None:
    assert boot_loader.default_entry(redhat.machine()) == (
        "root=/dev/vda2",
        "ro",
        "console=ttyS0",
        "skew_tick=1",
    )
    redhat.put(boot_entries.BLOCK, "saved_entry=abc-0-rescue\n")
    assert boot_loader.default_entry(redhat.machine()) == ("root=/dev/vda2", "ro")


def test_somebody_elses_value_is_refused_and_nothing_stays(redhat: RedHat) -> None:
    redhat.run(["grubby", "--update-kernel=ALL", "--args=nohz_full=1"])
    before = redhat.options()
    with pytest.raises(
        QuietcoreError, match=r"another value.*found nohz_full=1.*--remove-args='nohz_full=1'"
    ):
        promise(redhat.machine(), "boot_params", WANTED)
    assert redhat.options() == before
    assert not (redhat.root / boot_loader.DROP_IN.lstrip("/")).exists()


def test_grubbys_own_words_are_told(redhat: RedHat) -> None:
    redhat.fails = "The param /boot/vmlinuz is incorrect"
    with pytest.raises(QuietcoreError, match="param /boot/vmlinuz is incorrect"):
        promise(redhat.machine(), "boot_params", WANTED)


def test_a_parameter_taken_out_by_hand_is_found(redhat: RedHat) -> None:
    promise(redhat.machine(), "boot_params", WANTED)
    redhat.run(["grubby", "--update-kernel=ALL", "--remove-args=nohz_full=3-5"])
    found = {item.id: item.verdict for item in audit(redhat.machine()) if item.failed}
    assert found["boot.nohz_full"] is Verdict.MISSING
    promise(redhat.machine(), "boot_params", WANTED)
    assert "nohz_full=3-5" in redhat.options()


def test_without_entries_there_is_nothing_to_boot(redhat: RedHat) -> None:
    shutil.rmtree(redhat.root / boot_entries.FOLDER.lstrip("/"))
    (redhat.root / boot_entries.FOLDER.lstrip("/")).mkdir()
    outcome = promise(
        redhat.machine(), "r", [setting("x", "value", "/sys/kernel/mm/none", "1", required=False)]
    )
    assert not outcome.failures
    with pytest.raises(Exception, match="has no entry"):
        boot_loader.default_entry(redhat.machine())

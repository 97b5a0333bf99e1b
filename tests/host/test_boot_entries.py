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
from quietcore.host.grub.environment_block import made
from quietcore.host.machine import Machine, UnreadableError

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
        self.set_block(saved_entry="gone", tuned_params="skew_tick=1")
        self.fails = ""

    def machine(self) -> Machine:
        return FakeMachine(self)

    def set_block(self, **values: str) -> None:
        """Write GRUB's environment block."""
        self.put(boot_entries.BLOCK, made(list(values.items())))

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
    redhat.set_block(saved_entry="abc-0-rescue")
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


# Names as `ls` shows them, and GRUB's order of them: name, version and release apart, numbers by value.
ORDER = [
    "abc-6.12.0-5.el10.x86_64",
    "abc-5.14.0-503.11.1.el9_5.x86_64",
    "abc-5.14.0-503.el9.x86_64",
    "abc-5.14.0-70.el9.x86_64",
    "abc-5.14.0-70~rc1.el9.x86_64",
    "abc-4.18.0-553.el8.x86_64",
    "abc-0-rescue",
    "aaa-9.0.0-1.el9.x86_64",
]


def test_entries_are_in_grubs_order(redhat: RedHat) -> None:
    assert boot_entries.menu_order(sorted(ORDER)) == ORDER
    assert boot_entries.menu_order(list(reversed(ORDER))) == ORDER


@pytest.mark.parametrize(
    ("first", "second", "order"),
    [
        ("1.10", "1.9", 1),
        ("1.0a", "1.0", 1),
        ("1.0~rc1", "1.0", -1),
        ("1.0~rc1", "1.0~rc2", -1),
        ("010", "10", 0),
        ("1_0", "1.0", 0),
        ("el9", "9", -1),
        ("a", "b", -1),
        ("", "1", -1),
        ("99999999999999999999", "100000000000000000000", -1),
    ],
)
def test_versions_are_compared_as_rpm_does(first: str, second: str, order: int) -> None:
    assert boot_entries.compare_versions(first, second) == order
    assert boot_entries.compare_versions(second, first) == -order


@pytest.mark.parametrize(
    ("saved", "kernel"),
    [
        ("0", "5.14.0-503"),
        ("1", "5.14.0-70"),
        ("2", "rescue"),
        ("", "5.14.0-503"),
        ("no such entry", "5.14.0-503"),
        ("5x", "5.14.0-503"),
        ("abc-5.14.0-70.el9.x86_64", "5.14.0-70"),
        ("title of abc-0-rescue", "rescue"),
    ],
)
def test_saved_entry_is_an_identifier_a_title_or_a_number(redhat: RedHat, saved: str, kernel: str) -> None:
    for name in ENTRIES:
        text = f"title title of {name}\nlinux /vmlinuz-{name}\noptions kernel={name}\n"
        redhat.put(f"{boot_entries.FOLDER}/{name}.conf", text)
    redhat.set_block(saved_entry=saved)
    (word,) = boot_loader.default_entry(redhat.machine())
    assert kernel in word


def test_a_number_beyond_the_entries_is_told(redhat: RedHat) -> None:
    redhat.set_block(saved_entry="3")
    with pytest.raises(UnreadableError, match="saved_entry=3: there are 3 entries"):
        boot_loader.default_entry(redhat.machine())


def test_keys_parted_by_tabs_are_read(redhat: RedHat) -> None:
    name = "abc-5.14.0-503.el9.x86_64"
    text = f"title\t{name}\nlinux\t/vmlinuz\n# note\n\n  options \t root=/dev/vda2 ro\tquiet\n"
    redhat.put(f"{boot_entries.FOLDER}/{name}.conf", text)
    assert boot_loader.default_entry(redhat.machine()) == ("root=/dev/vda2", "ro", "quiet")


def test_two_lines_of_options_are_told(redhat: RedHat) -> None:
    name = "abc-5.14.0-503.el9.x86_64"
    redhat.put(f"{boot_entries.FOLDER}/{name}.conf", "title x\nlinux /vmlinuz\noptions a\noptions b\n")
    with pytest.raises(UnreadableError, match="2 lines of options"):
        boot_loader.default_entry(redhat.machine())


def test_the_remedy_for_a_value_of_tuned_works(redhat: RedHat) -> None:
    """Values of `$tuned_params` stand in GRUB's environment: grubby takes nothing out of them."""
    redhat.set_block(tuned_params="skew_tick=1 nohz_full=1")
    with pytest.raises(
        QuietcoreError,
        match=r"tuned_params; found nohz_full=1.*grub2-editenv - set 'tuned_params=skew_tick=1'",
    ):
        promise(redhat.machine(), "boot_params", WANTED)
    redhat.put("/etc/tuned/active_profile", "cpu-partitioning\n")
    with pytest.raises(QuietcoreError, match="TuneD's profile cpu-partitioning"):
        promise(redhat.machine(), "boot_params", WANTED)
    redhat.set_block(tuned_params="skew_tick=1")  # what the remedy says
    assert not promise(redhat.machine(), "boot_params", WANTED).failures


def test_a_word_that_ends_a_command_is_refused(redhat: RedHat) -> None:
    wanted = [setting("boot.pci", "kernel_parameter", "pci", "disable_acs_redir=A;B", required=False)]
    with pytest.raises(QuietcoreError, match=r"cannot stand in a boot entry.*A;B"):
        promise(redhat.machine(), "boot_params", wanted)
    assert not [call for call in redhat.calls if call[0] == "grubby"]

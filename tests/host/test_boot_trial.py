"""New boot parameters on trial: the next boot only, confirmed or left, and what a power cut leaves at any step."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.host.cut_off import PowerCutError, cut_after
from tests.host.fake_host import FakeHost
from tests.host.promises import BOOT, setting

from quietcore.errors import QuietcoreError
from quietcore.host import boot_loader
from quietcore.host.audit import audit
from quietcore.host.boot_confirm import retry, sshd_greets
from quietcore.host.boot_menu import boots, entries, environment
from quietcore.host.boot_trial import (
    CANDIDATE,
    GOOD,
    MARK,
    SCRIPT,
    STATE,
    TRIAL_WORDS,
    Stage,
    load_trial,
    stage,
)
from quietcore.host.converge import apply_all, promise, revert
from quietcore.host.findings import Verdict
from quietcore.host.grub import Boot
from quietcore.host.machine import Machine
from quietcore.host.menu_entries import quote

OLD = "console=tty0 console=ttyS0,115200 quiet"


def menu(host: FakeHost) -> dict[str, Boot]:
    """What each entry of the menu boots, by identifier."""
    return {chosen.boot.identifier: chosen.boot for chosen in entries(host.machine())}


def default_of(host: FakeHost) -> str:
    """What the menu boots without a one-shot."""
    return boots(host.machine(), environment(host.machine(), {"next_entry": None})).boot.default


def where(host: FakeHost) -> Stage:
    return stage(host.machine(), load_trial(host.machine()))


def isolated(host: FakeHost) -> bool:
    return "isolcpus=managed_irq,domain,3-5" in host.get("/proc/cmdline").split()


def verdict(host: FakeHost, name: str = "boot.fallback") -> tuple[Verdict, str]:
    finding = next(item for item in audit(host.machine()) if item.id == name)
    return finding.verdict, finding.cause


def test_next_boot_is_the_trial_and_a_healthy_one_becomes_the_default(host: FakeHost) -> None:
    outcome = promise(host.machine(), "boot_params", BOOT)
    assert outcome.reboot_required
    assert any("the next boot is the trial" in note for note in outcome.notes)
    assert host.environment() == {"saved_entry": GOOD, "next_entry": CANDIDATE}
    assert where(host) is Stage.ARMED
    assert verdict(host)[0] is Verdict.PENDING
    host.boot()
    assert isolated(host)
    assert host.get("/proc/cmdline").split()[-1].startswith(f"{MARK}=")
    assert set(TRIAL_WORDS) < set(host.get("/proc/cmdline").split())
    assert where(host) is Stage.CONFIRMED
    assert host.environment() == {"saved_entry": "0"}
    host.boot()
    assert isolated(host)
    assert MARK not in host.get("/proc/cmdline")
    assert not promise(host.machine(), "boot_params", BOOT).changed
    assert verdict(host)[0] is Verdict.OK


def test_good_entry_is_the_command_line_that_runs(host: FakeHost) -> None:
    before = host.get("/proc/cmdline").partition(" ")[2]
    promise(host.machine(), "boot_params", BOOT)
    entry = menu(host)[GOOD]
    assert " ".join(entry.words) == before
    assert (entry.kernel, entry.initial) == ("/boot/vmlinuz", ("/boot/initrd.img",))


def test_a_boot_that_dies_in_the_kernel_falls_back_and_says_so(host: FakeHost) -> None:
    promise(host.machine(), "boot_params", BOOT)
    host.choose()  # GRUB starts the candidate, and nobody ever hears of it again
    host.boot()
    assert not isolated(host)
    assert where(host) is Stage.FELL_BACK
    found, cause = verdict(host)
    assert found is Verdict.DRIFT
    assert "it left no word" in cause
    assert verdict(host, "boot.isolcpus")[0] is Verdict.DRIFT
    again = promise(host.machine(), "boot_params", BOOT)
    assert any("fell back" in failure for failure in again.failures)
    assert "next_entry" not in host.environment(), "the same parameters are not tried again unasked"
    host.boot()
    assert not isolated(host)


def test_a_boot_without_sshd_is_left_and_the_reason_is_kept(host: FakeHost) -> None:
    promise(host.machine(), "boot_params", BOOT)
    host.sshd_says = "sshd does not answer: 0.0.0.0:22: refused"
    boots = host.boots
    host.boot()
    assert host.boots == boots + 2, "one boot on trial, one back"
    assert not isolated(host)
    found, cause = verdict(host)
    assert found is Verdict.DRIFT
    assert "sshd does not answer" in cause


def test_a_boot_whose_parameters_the_kernel_refuses_is_left(host: FakeHost) -> None:
    promise(host.machine(), "boot_params", BOOT)
    host.unknown_parameters = {"skew_tick"}
    host.boot()
    assert not isolated(host)
    assert "skew_tick" in verdict(host)[1]


def test_a_unit_that_is_not_up_is_a_reason(host: FakeHost) -> None:
    wanted = [
        {**item, "options": {"minutes": 5, "units": ["irqbalance.service"]}}
        if item["kind"] == "boot_trial"
        else item
        for item in BOOT
    ]
    promise(host.machine(), "boot_params", wanted)
    host.units["irqbalance.service"]["enabled"] = False
    host.boot()
    assert not isolated(host)
    assert "irqbalance.service is not active" in verdict(host)[1]


def test_retry_after_mending(host: FakeHost) -> None:
    with pytest.raises(QuietcoreError, match="no boot fell back"):
        retry(host.machine())
    promise(host.machine(), "boot_params", BOOT)
    host.sshd_says = "no"
    host.boot()
    host.sshd_says = None
    retry(host.machine())
    assert where(host) is Stage.ARMED
    host.boot()
    assert isolated(host)
    assert where(host) is Stage.CONFIRMED


def test_other_parameters_after_a_fall_are_a_new_trial(host: FakeHost) -> None:
    promise(host.machine(), "boot_params", BOOT)
    host.sshd_says = "no"
    host.boot()
    host.sshd_says = None
    fewer = [item for item in BOOT if item["name"] != "skew_tick"]
    assert promise(host.machine(), "boot_params", fewer).reboot_required
    host.boot()
    assert isolated(host)
    assert where(host) is Stage.CONFIRMED
    assert not [
        finding.id for finding in audit(host.machine()) if finding.failed and finding.role == "boot_params"
    ]


def test_a_change_while_a_boot_is_on_trial_is_refused(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    promise(host.machine(), "boot_params", BOOT)
    monkeypatch.setattr(host, "judge_boot", lambda: None)
    host.boot()
    assert where(host) is Stage.RUNNING
    assert verdict(host) == (Verdict.OK, "this boot is not confirmed yet: `quietcore boot`")
    with pytest.raises(QuietcoreError, match="other boot parameters are on trial"):
        promise(host.machine(), "boot_params", BOOT[:2] + BOOT[5:])


@pytest.mark.parametrize(
    ("lies_on", "reason"),
    [
        ({"fs": "btrfs"}, "on btrfs"),
        ({"fs": "zfs"}, "on zfs"),
        ({"fs": "ext2", "abstraction": "lvm"}, "through lvm"),
        ({"fs": "ext2", "abstraction": "diskfilter mdraid1x"}, "through diskfilter, mdraid1x"),
    ],
)
def test_where_grub_cannot_forget_the_one_shot_there_is_none(
    host: FakeHost, lies_on: dict[str, str], reason: str
) -> None:
    host.boot_lies_on = lies_on
    wanted = [{**item, "required": False} if item["kind"] == "boot_trial" else item for item in BOOT]
    outcome = promise(host.machine(), "boot_params", wanted)
    assert not outcome.failures
    assert any("no boot on trial" in note and reason in note for note in outcome.notes)
    assert host.environment() == {}
    assert not (host.root / SCRIPT.lstrip("/")).exists()
    assert default_of(host) == "0"
    host.boot()
    assert isolated(host)
    found, cause = verdict(host)
    assert (found, reason in cause) == (Verdict.UNSUPPORTED, True)


def test_where_the_one_shot_is_required_its_lack_is_a_failure(host: FakeHost) -> None:
    host.boot_lies_on = {"fs": "btrfs"}
    outcome = promise(host.machine(), "boot_params", BOOT)
    assert any("boot.fallback" in failure and "btrfs" in failure for failure in outcome.failures)


def test_a_kernel_that_is_not_in_the_menu_cannot_be_frozen(host: FakeHost) -> None:
    host.put("/proc/cmdline", "BOOT_IMAGE=/boot/vmlinuz-gone root=UUID=1 ro\n")
    before = host.get(boot_loader.MENU)
    with pytest.raises(QuietcoreError, match=r"cannot be frozen.*vmlinuz-gone"):
        promise(host.machine(), "boot_params", BOOT)
    assert host.get(boot_loader.MENU) == before
    assert host.environment() == {}


def test_an_entry_whose_kernel_was_removed_is_left_out_of_the_menu(host: FakeHost) -> None:
    promise(host.machine(), "boot_params", BOOT)
    host.boot()
    host.image = "/boot/vmlinuz-next"
    host.put(host.image, "kernel\n")
    host.drop("/boot/vmlinuz")
    host.update_grub()
    assert GOOD not in host.get(boot_loader.MENU)
    host.calls.clear()
    assert not promise(host.machine(), "boot_params", BOOT).changed


def test_the_administrators_default_comes_back(host: FakeHost) -> None:
    host.put("/etc/default/grub", host.get("/etc/default/grub").replace("DEFAULT=0", "DEFAULT=saved") + "\n")
    host.run(["grub-editenv", str(host.root / "boot/grub/grubenv"), "set", "saved_entry=simple"])
    host.update_grub()
    promise(host.machine(), "boot_params", BOOT)
    host.boot()
    assert host.environment() == {"saved_entry": "simple"}
    host.boot()
    assert isolated(host)
    revert(host.machine())
    assert host.environment() == {"saved_entry": "simple"}


def test_a_second_change_freezes_the_confirmed_entry_without_its_trial_words(host: FakeHost) -> None:
    promise(host.machine(), "boot_params", BOOT)
    host.boot()
    fewer = [item for item in BOOT if item["name"] != "skew_tick"]
    promise(host.machine(), "boot_params", fewer)
    words = {name: boot.words for name, boot in menu(host).items()}
    assert "skew_tick=1" in words[GOOD]
    assert not {*TRIAL_WORDS} & set(words[GOOD])
    assert not [word for word in words[GOOD] if word.startswith(MARK)]
    assert "skew_tick=1" not in words[CANDIDATE]
    assert words[CANDIDATE].count("panic=10") == 1
    host.sshd_says = "no"
    host.boot()
    assert "skew_tick=1" in host.get("/proc/cmdline").split(), "back on what was confirmed before"


@pytest.mark.parametrize("finished", [False, True], ids=["reboot after the cut", "finished by the next run"])
def test_a_power_cut_at_any_step_boots_the_old_parameters_or_a_trial(
    tmp_path: Path, finished: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for limit in range(40):
        host = FakeHost(tmp_path / str(limit))
        cut = False
        with cut_after(limit, monkeypatch):
            try:
                promise(host.machine(), "boot_params", BOOT)
            except PowerCutError:
                cut = True
        if finished:
            assert not promise(host.machine(), "boot_params", BOOT).failures, limit
        line = host.choose()
        new, on_trial = "isolcpus" in line, MARK in line
        assert new == on_trial, f"{limit}: {line}"
        assert on_trial or not finished, limit
        host.boot(line)
        if not finished and not isolated(host):
            assert not promise(host.machine(), "boot_params", BOOT).failures, limit
            host.boot()
        assert isolated(host), limit
        assert where(host) is Stage.CONFIRMED, limit
        if not cut:
            return
    pytest.fail("the run never got to its end")


def test_a_power_cut_while_confirming_leaves_a_host_that_knows_where_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for limit in range(10):
        host = FakeHost(tmp_path / str(limit))
        promise(host.machine(), "boot_params", BOOT)
        cut = False
        with cut_after(limit, monkeypatch):
            try:
                host.boot()
            except PowerCutError:
                cut = True
        host.boot()
        assert where(host) is (Stage.CONFIRMED if isolated(host) else Stage.FELL_BACK), limit
        apply_all(host.machine())
        if not cut:
            return
    pytest.fail("the confirmation never got to its end")


def test_undo_of_an_armed_trial_boots_the_old_parameters_wherever_it_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for limit in range(40):
        host = FakeHost(tmp_path / str(limit))
        promise(host.machine(), "boot_params", BOOT)
        cut = False
        with cut_after(limit, monkeypatch):
            try:
                revert(host.machine())
            except PowerCutError:
                cut = True
        line = host.choose()
        assert ("isolcpus" in line) == (MARK in line), f"{limit}: {line}"
        if not cut:
            assert "isolcpus" not in line
            assert host.environment() == {}
            assert not (host.root / STATE.lstrip("/")).exists()
            return
    pytest.fail("undo never got to its end")


def test_state_that_is_none_is_an_error_and_no_pass(host: FakeHost) -> None:
    promise(host.machine(), "boot_params", BOOT)
    host.put(STATE, "{}\n")
    finding = next(item for item in audit(host.machine()) if item.id == "boot.fallback")
    assert finding.failed
    assert not finding.readable


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("a=b,c", "a=b,c"),
        ("$v", "'$v'"),
        ("a;b", "'a;b'"),
        ("a'b c", "'a'\\''b c'"),
        ("", "''"),
        ("if", "'if'"),
    ],
)
def test_words_are_quoted_for_grub(word: str, expected: str) -> None:
    assert quote(word) == expected


def test_a_word_that_no_configuration_holds_is_refused() -> None:
    with pytest.raises(QuietcoreError, match="line end"):
        quote("a\nb")


def test_sshd_that_listens_nowhere_is_told(host: FakeHost) -> None:
    class Silent(Machine):
        def run(self, *command: str):  # type: ignore[no-untyped-def]
            done = host.run(command)
            done.returncode, done.stdout, done.stderr = 0, "port 1\nlistenaddress 127.0.0.1:1\n", ""
            return done

    said = sshd_greets(Silent(host.root, run=host.run))
    assert said is not None
    assert "127.0.0.1:1" in said


def test_watchdog(host: FakeHost) -> None:
    dog = [setting("dog", "watchdog", "RuntimeWatchdogSec", 60)]
    outcome = promise(host.machine(), "boot_params", [{**dog[0], "required": False}])
    assert outcome.findings[0].verdict is Verdict.UNSUPPORTED
    assert not (host.root / "etc/systemd/system.conf.d").exists()
    host.put("/dev/watchdog", "")
    assert promise(host.machine(), "boot_params", dog).reboot_required
    assert "RuntimeWatchdogSec=60s" in host.get("/etc/systemd/system.conf.d/zz-quietcore-watchdog.conf")
    host.watchdog = "1min"
    assert not [item for item in audit(host.machine()) if item.failed]
    host.watchdog = "30s"
    assert [item.found for item in audit(host.machine()) if item.failed] == ["30 s"]
    host.drop("/etc/systemd/system.conf.d/zz-quietcore-watchdog.conf")
    assert [item.verdict for item in audit(host.machine()) if item.failed] == [Verdict.MISSING]
    with pytest.raises(QuietcoreError, match="1 to 86400"):
        promise(host.machine(), "boot_params", [{**dog[0], "wanted": 0}])


def test_clock_source_and_choices_are_checked(host: FakeHost) -> None:
    clock = "/sys/devices/system/clocksource/clocksource0"
    host.put(f"{clock}/available_clocksource", "hpet acpi_pm\n")
    host.put(f"{clock}/current_clocksource", "hpet\n")
    with pytest.raises(
        QuietcoreError, match=r"does not offer that clock source.*found tsc; expected hpet or acpi_pm"
    ):
        promise(host.machine(), "boot_params", [setting("c", "kernel_parameter", "clocksource", "tsc")])
    for name, value in (("mitigations", "none"), ("transparent_hugepage", "off")):
        with pytest.raises(QuietcoreError, match="takes no such value"):
            promise(host.machine(), "boot_params", [setting("c", "kernel_parameter", name, value)])
    promise(host.machine(), "boot_params", [setting("c", "kernel_parameter", "clocksource", "acpi_pm")])
    host.boot()
    finding = next(iter(audit(host.machine())))
    assert (finding.verdict, finding.found) == (Verdict.DRIFT, "hpet")


def test_command_shows_where_the_trial_stands(host: FakeHost, capsys: pytest.CaptureFixture[str]) -> None:
    from quietcore.cli.main import main

    promise(host.machine(), "boot_params", BOOT)
    assert main(["boot", "--root", str(host.root)]) == 0
    assert "the next boot is the trial" in capsys.readouterr().out
    host.choose()
    host.boot()
    assert main(["boot", "--json", "--root", str(host.root)]) == 1
    value = json.loads(capsys.readouterr().out)
    assert value["stage"] == "fell back"
    assert "left no word" in value["reason"]
    assert main(["boot", "wait", "--root", str(host.root)]) == 1
    assert "remedy" in capsys.readouterr().out

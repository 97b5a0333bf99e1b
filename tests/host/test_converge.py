"""Apply and undo: idempotence, the journal, the way back, cut-off runs, GRUB."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.host.cut_off import PowerCutError, cut_after, full_after
from tests.host.fake_host import FakeHost
from tests.host.promises import BOOT, ROLES, SYSCTL, setting

from quietcore.errors import ExitCode, QuietcoreError
from quietcore.host import boot_loader
from quietcore.host.audit import audit
from quietcore.host.converge import apply_all, promise, revert
from quietcore.host.journal import Journal
from quietcore.host.machine import JOURNAL
from quietcore.host.settings import desired_path


def tune(host: FakeHost) -> None:
    for role, settings in ROLES.items():
        assert not promise(host.machine(), role, settings).failures


def test_second_run_changes_nothing(host: FakeHost) -> None:
    tune(host)
    before = host.files()
    journal = host.get(JOURNAL)
    host.calls.clear()
    for role, settings in ROLES.items():
        assert not promise(host.machine(), role, settings).changed
    assert not apply_all(host.machine()).changed
    assert host.files() == before
    assert host.get(JOURNAL) == journal
    assert not [
        call for call in host.calls if call[0] == "grub-mkconfig" or call[1:2] in (("start",), ("stop",))
    ]


def test_check_mode_tells_what_a_run_does_and_changes_nothing(host: FakeHost) -> None:
    before = host.files()
    told = {role: promise(host.machine(), role, settings, check=True) for role, settings in ROLES.items()}
    assert host.files() == before
    assert not (host.root / "var/lib/quietcore").exists()
    assert told["boot_params"].reboot_required
    assert not told["sysctl"].reboot_required
    for role, settings in ROLES.items():
        done = promise(host.machine(), role, settings)
        real = {change.target for change in done.changes}
        # The wider selection would move what the narrower one has moved by then.
        assert real == {change.target for change in told[role].changes}, role


def test_everything_comes_back(host: FakeHost) -> None:
    before = host.files()
    units = json.dumps(host.units)
    tune(host)
    assert host.files() != before
    outcome = revert(host.machine())
    assert not outcome.failures
    assert host.files() == before
    assert (
        json.dumps({name: state for name, state in host.units.items() if name == "irqbalance.service"})
        == units
    )
    assert not (host.root / "etc/quietcore").exists()
    assert not Journal(host.machine()).open_targets()
    assert not revert(host.machine()).changed
    with pytest.raises(QuietcoreError, match="nothing was promised"):
        audit(host.machine())


def test_everything_comes_back_after_reboots_too(host: FakeHost) -> None:
    before = host.files()
    tune(host)
    host.boot()
    apply_all(host.machine(), live_only=True)
    outcome = revert(host.machine())
    assert outcome.reboot_required
    assert any("isolcpus=managed_irq,domain,3-5" in note for note in outcome.notes)
    host.boot()
    again = revert(host.machine())
    assert not again.changed
    assert not again.reboot_required
    after = host.files()
    # Threads started at another time; each boot has a number of its own.
    of_this_boot = re.compile(r"proc/\d+/task/\d+/stat|proc/sys/kernel/random/boot_id")
    differs = {name for name in before if before[name] != after[name] and not of_this_boot.fullmatch(name)}
    assert not differs
    assert before.keys() == after.keys()


def test_one_role_comes_back_and_the_others_stay(host: FakeHost) -> None:
    tune(host)
    revert(host.machine(), ["sysctl"])
    assert host.get("/proc/sys/vm/swappiness") == "60"
    assert not (host.root / "etc/sysctl.d/zz-quietcore.conf").exists()
    assert not (host.root / desired_path("sysctl").lstrip("/")).exists()
    assert "isolcpus" in host.get(boot_loader.DROP_IN)
    host.boot()
    apply_all(host.machine(), live_only=True)
    assert not [finding for finding in audit(host.machine()) if finding.failed]


def test_what_held_already_and_drifted_later_comes_back_as_it_was(host: FakeHost) -> None:
    wanted = [setting("s", "sysctl", "vm.swappiness", "60")]
    assert promise(host.machine(), "sysctl", wanted).findings[0].verdict == "ok"
    host.put("/proc/sys/vm/swappiness", "7\n")
    promise(host.machine(), "sysctl", wanted)
    host.put("/proc/sys/vm/swappiness", "9\n")
    revert(host.machine())
    assert host.get("/proc/sys/vm/swappiness") == "60"


def test_the_first_value_is_the_one_that_comes_back(host: FakeHost) -> None:
    for wanted in ("0", "10", "20"):
        promise(host.machine(), "sysctl", [setting("s", "sysctl", "vm.swappiness", wanted)])
    revert(host.machine())
    assert host.get("/proc/sys/vm/swappiness") == "60"
    promise(host.machine(), "sysctl", [setting("s", "sysctl", "vm.swappiness", "5")])
    host.put("/proc/sys/vm/swappiness", "7\n")
    revert(host.machine())
    assert host.get("/proc/sys/vm/swappiness") == "60"


def test_what_is_promised_no_longer_comes_back(host: FakeHost) -> None:
    tune(host)
    outcome = promise(host.machine(), "sysctl", SYSCTL[:1])
    assert host.get("/proc/sys/net/ipv4/tcp_rmem").split() == ["4096", "131072", "6291456"]
    assert "tcp_rmem" not in host.get("/etc/sysctl.d/zz-quietcore.conf")
    assert outcome.changed
    assert not promise(host.machine(), "sysctl", SYSCTL[:1]).changed


def test_a_file_that_was_there_before_comes_back(host: FakeHost) -> None:
    host.put("/etc/sysctl.d/zz-quietcore.conf", "# somebody's own\n")
    promise(host.machine(), "sysctl", SYSCTL)
    assert "swappiness" in host.get("/etc/sysctl.d/zz-quietcore.conf")
    revert(host.machine())
    assert host.get("/etc/sysctl.d/zz-quietcore.conf") == "# somebody's own"


def test_the_journal_is_written_before_the_change(host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = host.machine()

    def cut(path: str, value: str) -> None:
        raise SystemExit("power cut")

    monkeypatch.setattr(machine, "write_value", cut)
    with pytest.raises(SystemExit):
        promise(machine, "sysctl", SYSCTL)
    entries = [json.loads(line) for line in host.get(JOURNAL).splitlines()]
    assert {"value:/proc/sys/vm/swappiness"} <= {entry["target"] for entry in entries}
    assert host.get("/proc/sys/vm/swappiness") == "60"
    revert(host.machine())
    assert host.get("/proc/sys/vm/swappiness") == "60"


@pytest.mark.parametrize("role", sorted(ROLES))
def test_a_run_cut_off_anywhere_is_finished_or_undone(
    tmp_path: Path, role: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for limit in range(40):
        host = FakeHost(tmp_path / f"{role}-{limit}")
        before = host.files()
        cut = False
        with cut_after(limit, monkeypatch):
            try:
                promise(host.machine(), role, ROLES[role])
            except PowerCutError:
                cut = True
        if limit % 2:  # the next run finishes it
            promise(host.machine(), role, ROLES[role])
            host.boot()
            apply_all(host.machine(), live_only=True)
            assert not [finding.id for finding in audit(host.machine()) if finding.failed], limit
        else:  # undo puts back what was there
            revert(host.machine())
            assert host.files() == before, limit
        if not cut:
            return
    pytest.fail("the run never got to its end")


def test_undo_cut_off_anywhere_is_finished_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for limit in range(80):
        host = FakeHost(tmp_path / str(limit))
        before = host.files()
        tune(host)
        cut = False
        with cut_after(limit, monkeypatch):
            try:
                revert(host.machine())
            except PowerCutError:
                cut = True
        assert not revert(host.machine()).failures
        assert host.files() == before, limit
        assert not Journal(host.machine()).open_targets()
        if not cut:
            return
    pytest.fail("undo never got to its end")


def test_a_torn_last_line_of_the_journal_is_dropped(host: FakeHost) -> None:
    promise(host.machine(), "sysctl", SYSCTL[:1])
    path = host.root / JOURNAL.lstrip("/")
    whole = path.read_text()
    path.write_text(whole + '{"event": "change", "target": "value:/proc/sys/net')
    assert len(Journal(host.machine()).entries()) == len(whole.splitlines())
    promise(host.machine(), "sysctl", SYSCTL)
    assert all(json.loads(line) for line in path.read_text().splitlines())
    revert(host.machine())
    assert host.get("/proc/sys/vm/swappiness") == "60"


def test_a_line_that_is_no_entry_is_an_error(host: FakeHost) -> None:
    host.put(JOURNAL, "what?\n")
    with pytest.raises(QuietcoreError, match=r"journal.jsonl:1.*repair or remove") as caught:
        revert(host.machine())
    assert caught.value.code is ExitCode.UNKNOWN


def test_grub_keeps_the_image_suppliers_arguments_and_its_own_recovery(host: FakeHost) -> None:
    promise(host.machine(), "boot_params", BOOT)
    normal, recovery = [line for line in host.get(boot_loader.MENU).splitlines() if "linux\t" in line][:2]
    for word in (
        "console=tty0",
        "console=ttyS0,115200",
        "quiet",
        "isolcpus=managed_irq,domain,3-5",
        "skew_tick=1",
    ):
        assert word in normal.split()
    assert "isolcpus" not in recovery
    assert (host.root / "etc/default/grub").read_text().count("isolcpus") == 0


def test_a_menu_that_cannot_be_written_leaves_everything_as_it_was(host: FakeHost) -> None:
    menu = host.get(boot_loader.MENU)
    host.grub_fails = True
    with pytest.raises(QuietcoreError, match="Syntax error"):
        promise(host.machine(), "boot_params", BOOT)
    assert not (host.root / boot_loader.DROP_IN.lstrip("/")).exists()
    assert host.get(boot_loader.MENU) == menu
    host.grub_fails = False
    promise(host.machine(), "boot_params", BOOT)
    assert "isolcpus" in host.get(boot_loader.MENU)
    host.grub_fails = True
    with pytest.raises(QuietcoreError, match="Syntax error"):
        revert(host.machine())
    host.grub_fails = False
    revert(host.machine())
    assert host.get(boot_loader.MENU) == menu


def test_a_menu_without_an_entry_never_takes_the_old_ones_place(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    menu = host.get(boot_loader.MENU)
    monkeypatch.setattr(host, "update_grub", lambda path: host.put(path, "# half of a menu\n"))
    with pytest.raises(QuietcoreError, match="no entry with a Linux kernel"):
        promise(host.machine(), "boot_params", BOOT)
    assert host.get(boot_loader.MENU) == menu
    assert sorted(path.name for path in (host.root / "boot/grub").iterdir()) == ["grub.cfg", "grubenv"]


def test_the_menu_keeps_its_mode_and_nothing_beside_it_stays(host: FakeHost) -> None:
    menu = host.root / boot_loader.MENU.lstrip("/")
    menu.chmod(0o444)
    host.put("/boot/grub/grub.cfg.quietcore.new", "of a run that was cut off")
    promise(host.machine(), "boot_params", BOOT)
    assert menu.stat().st_mode & 0o777 == 0o444
    assert sorted(path.name for path in menu.parent.iterdir()) == ["grub.cfg", "grubenv"]


@pytest.mark.parametrize("role", sorted(ROLES))
def test_a_disk_that_fills_up_anywhere_is_told_and_the_next_run_finishes(
    tmp_path: Path, role: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for limit in range(40):
        host = FakeHost(tmp_path / f"{role}-{limit}")
        before = host.files()
        full, said = False, ""
        with full_after(limit, monkeypatch):
            try:
                promise(host.machine(), role, ROLES[role])
            except QuietcoreError as error:
                full, said = True, str(error)
        assert not full or "No space left" in said, said
        if limit % 2:
            assert not promise(host.machine(), role, ROLES[role]).failures, limit
            host.boot()
            apply_all(host.machine(), live_only=True)
            assert not [finding.id for finding in audit(host.machine()) if finding.failed], limit
        else:
            revert(host.machine())
            assert host.files() == before, limit
        if not full:
            return
    pytest.fail("the run never got to its end")


def test_new_interrupts_start_where_they_should_without_a_boot(host: FakeHost) -> None:
    promise(host.machine(), "boot_params", BOOT)
    assert host.get("/proc/irq/default_smp_affinity") == "7"
    host.boot()
    host.put("/proc/irq/default_smp_affinity", "3f\n")
    apply_all(host.machine(), live_only=True)
    assert host.get("/proc/irq/default_smp_affinity") == "7"
    revert(host.machine())
    assert host.get("/proc/irq/default_smp_affinity") == "3f"


def test_a_changed_plan_replaces_its_parameters(host: FakeHost) -> None:
    tune(host)
    host.boot()
    wanted = [
        {**item, "wanted": str(item["wanted"]).replace("3-5", "4-5").replace("0-2", "0-3")} for item in BOOT
    ]
    outcome = promise(host.machine(), "boot_params", wanted)
    assert outcome.reboot_required
    normal = boot_loader.default_entry(host.machine())
    assert [word for word in normal if word.startswith("isolcpus=")] == ["isolcpus=managed_irq,domain,4-5"]
    host.boot()
    apply_all(host.machine(), live_only=True)
    assert host.get("/sys/devices/system/cpu/isolated") == "4-5"
    assert not promise(host.machine(), "boot_params", wanted).changed


def test_without_grub_parameters_are_unsupported_and_no_file_is_written(host: FakeHost) -> None:
    host.drop("/etc/default/grub")
    outcome = promise(host.machine(), "boot_params", [{**item, "required": False} for item in BOOT])
    assert not outcome.failures
    assert not outcome.reboot_required
    assert not (host.root / boot_loader.DROP_IN.lstrip("/")).exists()


def test_a_value_that_the_kernel_refuses_is_told_with_its_reason(host: FakeHost) -> None:
    machine = host.machine()
    (host.root / "proc/sys/vm/swappiness").chmod(0o444)

    def refuse(path: str, value: str) -> None:
        raise OSError(22, "Invalid argument")

    machine.write_value = refuse  # type: ignore[method-assign]
    outcome = promise(machine, "sysctl", SYSCTL)
    assert "refused a value: /proc/sys/vm/swappiness: Invalid argument for '0'" in outcome.failures[0]
    assert not outcome.changed or {change.target for change in outcome.changes}.isdisjoint(
        {"value:/proc/sys/vm/swappiness", "value:/proc/sys/net/ipv4/tcp_rmem"}
    )


def test_a_value_that_does_not_stay_is_a_failure(host: FakeHost) -> None:
    machine = host.machine()
    machine.write_value = lambda path, value: None  # type: ignore[method-assign]
    outcome = promise(machine, "sysctl", SYSCTL[:1])
    assert outcome.failures == [
        "sysctl.swappiness: 60 instead of 0: /proc/sys/vm/swappiness: the kernel took 0 and still shows 60; "
        "otherwise /usr/lib/sysctl.d/50-default.conf sets it too; "
        "remedy: remove it from /usr/lib/sysctl.d/50-default.conf, then quietcore apply"
    ]


def test_only_one_process_changes_a_host(host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    from quietcore.host.machine import exclusive

    monkeypatch.setattr("quietcore.host.machine.LOCK_WAIT", 0.1)
    with exclusive(host.machine()), pytest.raises(QuietcoreError, match="another process"):
        promise(host.machine(), "sysctl", SYSCTL)
    assert host.get("/proc/sys/vm/swappiness") == "60"


def test_what_was_taken_back_while_another_waited_is_not_brought_about_again(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The timer's recheck starts just before an undo, and gets its turn after it."""
    from contextlib import contextmanager

    from quietcore.host.machine import exclusive as real

    promise(host.machine(), "sysctl", SYSCTL)

    @contextmanager
    def after_an_undo(machine: Any) -> Iterator[None]:
        monkeypatch.setattr("quietcore.host.converge.exclusive", real)
        revert(host.machine())
        with real(machine):
            yield

    monkeypatch.setattr("quietcore.host.converge.exclusive", after_an_undo)
    assert not apply_all(host.machine(), live_only=True).changed
    assert host.get("/proc/sys/vm/swappiness") == "60"


def test_huge_pages_that_cannot_be_found_are_counted(host: FakeHost) -> None:
    host.put("/proc/sys/vm/compact_memory", "0\n")
    machine = host.machine()
    original = machine.write_value
    compacted: list[str] = []

    def scarce(path: str, value: str) -> None:
        if path.endswith("compact_memory"):
            compacted.append(value)
        original(path, "60" if path.endswith("nr_hugepages") else value)

    machine.write_value = scarce  # type: ignore[method-assign]
    outcome = promise(machine, "huge_pages", ROLES["huge_pages"])
    assert set(compacted) == {"1"}
    assert "4 are missing" in outcome.failures[0]


def test_two_roles_share_one_writing_of_the_menu(host: FakeHost) -> None:
    wanted = [setting("pages.boot", "kernel_parameter", "hugepages", 64)]
    first = promise(host.machine(), "huge_pages", wanted, menu_later=True)
    assert first.reboot_required
    assert not first.failures
    assert "hugepages" not in host.get(boot_loader.MENU)
    promise(host.machine(), "boot_params", BOOT)
    assert len([call for call in host.calls if call[0] == "grub-mkconfig"]) == 1
    assert not promise(host.machine(), "huge_pages", wanted, menu_later=True).changed
    host.boot()
    assert "hugepages=64" in host.get("/proc/cmdline")
    assert not promise(host.machine(), "huge_pages", wanted).reboot_required


def test_a_menu_left_to_later_that_never_came_is_written_by_the_next_run(host: FakeHost) -> None:
    wanted = [setting("pages.boot", "kernel_parameter", "hugepages", 64)]
    promise(host.machine(), "huge_pages", wanted, menu_later=True)
    assert "older than" in next(iter(audit(host.machine()))).cause
    assert promise(host.machine(), "huge_pages", wanted).changed
    assert "hugepages=64" in host.get(boot_loader.MENU)

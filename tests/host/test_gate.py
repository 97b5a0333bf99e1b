"""The audit as units meet it: passed only where it passed just now, and a report that says what does not hold."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.host.fake_host import FakeHost
from tests.host.promises import BOOT, ROLES, setting

from quietcore.cli.main import main
from quietcore.host import audit as audit_module
from quietcore.host.cli import gate
from quietcore.host.converge import apply_all, promise

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def tuned(host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    for role, settings in ROLES.items():
        promise(host.machine(), role, settings)
    host.boot()
    apply_all(host.machine(), live_only=True)
    monkeypatch.setattr(gate, "audit", lambda machine: audit_module.audit(host.machine()))
    return host


def run(host: FakeHost, into: Path) -> tuple[int, str, bool]:
    code = main(["gate", "--root", str(host.root), "--into", str(into)])
    return code, (into / "report").read_text(), (into / "passed").exists()


def test_all_holds(tuned: FakeHost, tmp_path: Path) -> None:
    code, report, passed = run(tuned, tmp_path)
    assert (code, passed) == (0, True)
    assert report.endswith("0 drift: passed\n")
    assert len(report.splitlines()) == 1


def test_one_broken_setting_stops_and_is_named_with_cause_and_remedy(tuned: FakeHost, tmp_path: Path) -> None:
    run(tuned, tmp_path)
    tuned.put("/proc/sys/vm/swappiness", "30\n")
    code, report, passed = run(tuned, tmp_path)
    assert (code, passed) == (1, False), "an earlier pass must not stay"
    assert report.startswith("audit: sysctl.swappiness: drift: found 30, wanted 0: changed by hand")
    assert "remedy: quietcore apply" in report
    assert report.endswith("not started\n")
    assert (tmp_path / "status").read_text() == report.splitlines()[0] + "\n"
    tuned.put("/proc/sys/net/ipv4/tcp_rmem", "4096 131072 6291456\n")
    run(tuned, tmp_path)
    assert (tmp_path / "status").read_text().endswith("quietcore apply (and 1 more: quietcore audit)\n")


def test_what_waits_for_a_reboot_is_told_and_passes(tuned: FakeHost, tmp_path: Path) -> None:
    promise(tuned.machine(), "boot_params", [*BOOT, setting("boot.nosmt", "kernel_parameter", "nosmt", "")])
    code, report, passed = run(tuned, tmp_path)
    assert (code, passed) == (0, True)
    assert "boot.nosmt: pending reboot" in report


def test_a_host_that_promised_nothing_does_not_pass(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "passed").touch()
    assert main(["gate", "--root", str(tmp_path / "nothing"), "--into", str(tmp_path)]) == 3
    assert not (tmp_path / "passed").exists()
    for name in ("report", "status"):
        assert "could not tell" in (tmp_path / name).read_text()
    assert "nothing was promised" in capsys.readouterr().err


def test_a_result_that_cannot_be_written_is_an_error(
    tuned: FakeHost, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["gate", "--root", str(tuned.root), "--into", str(tmp_path / "absent")]) == 2
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize(
    "unit",
    ["feed_handler/templates/quietcore-feed@.service.j2", "runtime/templates/quietcore-runtime.service.j2"],
)
def test_units_of_the_pipeline_pass_the_gate_before_anything_else(unit: str) -> None:
    lines = (ROOT / "roles" / unit).read_text().splitlines()
    for key in ("Wants=", "After="):
        assert any(line.startswith(key) and "quietcore-gate.service" in line for line in lines), key
    starts = [line for line in lines if line.startswith("ExecStart")]
    assert starts[0].startswith("ExecStartPre=-"), "telling why may fail, judging may not"
    assert starts[1].startswith("ExecStartPre=/bin/sh")
    assert starts[1].endswith("test -e /run/quietcore-gate/passed'")

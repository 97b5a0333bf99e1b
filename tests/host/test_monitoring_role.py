"""The role `monitoring`: what Ansible renders holds on a fake host, is bound and private, and leaves nothing behind."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from tests.host.fake_host import FakeHost
from tests.host.role_settings import ROOT, rendered
from tests.host.test_plan import machine

from quietcore.host.audit import audit
from quietcore.host.converge import loosen, promise, revert
from quietcore.host.plan import Wishes, plan_cores

PLAN = plan_cores(machine(8, 2, nodes=2, card=1), Wishes())
RELEASE = {"__release": {"machine_code": "", "cpu_level": "x86-64-v3"}, "ansible_managed": "managed"}
UNITS = "/etc/systemd/system"
EVERYTHING = {
    "monitoring_enabled": True,
    "monitoring_web_listen": "127.0.0.1:9421",
    "monitoring_prometheus": True,
    "monitoring_scrape_interval": "100ms",
    "monitoring_alertmanagers": ["192.0.2.7:9093"],
}


def settings(**given: Any) -> dict[str, dict[str, Any]]:
    return {item["id"]: item for item in rendered("monitoring", PLAN, {**RELEASE, **given})}


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def test_only_what_is_wanted_is_promised() -> None:
    usual = {"monitoring.metrics", "monitoring.audit_service", "monitoring.audit_timer"}
    assert set(settings()) == usual
    assert set(settings(monitoring_audit_seconds=0)) == {"monitoring.metrics"}
    assert set(settings(**EVERYTHING)) == usual | {
        "monitoring.web",
        "monitoring.prometheus_config",
        "monitoring.prometheus_rules",
        "monitoring.prometheus_unit",
    }


def test_everything_is_bound_to_housekeeping_and_listens_on_loopback() -> None:
    made = settings(**EVERYTHING)
    housekeeping = " ".join(map(str, PLAN.sets["housekeeping"]))
    for name in ("metrics", "web", "audit_service", "prometheus_unit"):
        found = lines(made[f"monitoring.{name}"]["wanted"])
        assert f"CPUAffinity={housekeeping}" in found, name
        assert not {int(cpu) for cpu in housekeeping.split()} & set(PLAN.isolated)
    for name in ("metrics", "web"):
        found = lines(made[f"monitoring.{name}"]["wanted"])
        assert {
            "User=quietcore",
            "CapabilityBoundingSet=",
            "NoNewPrivileges=yes",
            "ProtectSystem=strict",
        } <= set(found)
        (start,) = [line for line in found if line.startswith("ExecStart=")]
        assert f"quietcore {name} --listen 127.0.0.1:" in start
    assert "--web.listen-address=127.0.0.1:9090" in made["monitoring.prometheus_unit"]["wanted"]


def test_it_holds_on_a_host_and_is_taken_back(host: FakeHost) -> None:
    host.put(f"{UNITS}/README", "")
    before = sorted(path for path in (host.root / "etc").rglob("*"))
    wanted = loosen(list(settings(**EVERYTHING).values()), False, [])
    assert not promise(host.machine(), "monitoring", wanted).failures
    assert [finding for finding in audit(host.machine()) if finding.failed] == []
    again = promise(host.machine(), "monitoring", wanted)
    assert ([change.target for change in again.changes], again.failures) == ([], [])
    host.put(f"{UNITS}/quietcore-metrics.service", "[Service]\nUser=root\n")
    assert [finding.id for finding in audit(host.machine()) if finding.failed] == ["monitoring.metrics"]
    assert not revert(host.machine()).failures
    assert sorted(path for path in (host.root / "etc").rglob("*")) == before


def test_configuration_is_prometheus_own(tmp_path: Path) -> None:
    """Prometheus reads it, and scrapes and tells whom the inventory names."""
    made = settings(**EVERYTHING)
    text = made["monitoring.prometheus_config"]["wanted"]
    config = yaml.safe_load(text)
    assert config["global"]["scrape_interval"] == "100ms"
    assert config["scrape_configs"][0]["static_configs"][0]["targets"] == ["127.0.0.1:9420"]
    assert config["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] == ["192.0.2.7:9093"]
    rules = made["monitoring.prometheus_rules"]
    assert rules["wanted"] == (ROOT / "roles/monitoring/files/quietcore.rules.yml").read_text()
    assert config["rule_files"] == [rules["name"]]
    promtool = shutil.which("promtool") or shutil.which("promtool", path=str(ROOT / "build/tools/usr/bin"))
    if promtool is None:
        pytest.skip("no promtool: `make test-python` fetches it, or install it")
    (tmp_path / "rules.yml").write_text(rules["wanted"])
    (tmp_path / "prometheus.yml").write_text(text.replace(rules["name"], str(tmp_path / "rules.yml")))
    done = subprocess.run(
        [promtool, "check", "config", tmp_path / "prometheus.yml"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr

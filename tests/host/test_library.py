"""What makes the library fit to be shipped: standard library only, relative imports only, and its commands."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.host.fake_host import FakeHost
from tests.host.promises import POWER, ROLES

from quietcore.cli.main import main
from quietcore.host.converge import promise

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "runtime/quietcore"
HOST_FILES = sorted((PACKAGE / "host").rglob("*.py"))


def imports(path: Path) -> list[tuple[int, str]]:
    """Return (level, module) of every import in a file."""
    found: list[tuple[int, str]] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [(0, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append((node.level, node.module or ""))
    return found


@pytest.mark.parametrize(
    "path",
    [*HOST_FILES, PACKAGE / "errors.py", PACKAGE / "shortage.py"],
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_standard_library_and_relative_imports_only(path: Path) -> None:
    depth = len(path.relative_to(PACKAGE).parts)
    for level, module in imports(path):
        if level:
            assert level <= depth, f"{module} leaves the package"
        else:
            assert module.split(".")[0] in sys.stdlib_module_names, module


def shipped() -> dict[str, str]:
    path = ROOT / "ansible/plugins/action/quietcore_host_library.py"
    spec = importlib.util.spec_from_file_location("quietcore_host_library_action", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    files: dict[str, str] = module.library_files()
    return files


def install(folder: Path) -> None:
    for name, content in shipped().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)


def test_what_is_shipped_runs_alone(tmp_path: Path, host: FakeHost) -> None:
    install(tmp_path)
    assert f"quietcore/{HOST_FILES[0].relative_to(PACKAGE)}" in shipped()
    environment = {"PYTHONPATH": str(tmp_path), "PATH": os.defpath}
    # -S: nothing that is installed beside Python can help out.
    command = [sys.executable, "-S", "-m", "quietcore", "plan", "--root", str(host.root), "--json"]
    result = subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False
    )
    assert result.stderr == ""
    assert json.loads(result.stdout)["sets"]["feed"] == [3]


def test_nothing_of_the_pipeline_is_shipped() -> None:
    assert all(
        name.startswith("quietcore/host/")
        or name
        in {
            f"quietcore/{part}"
            for part in (
                "__init__.py",
                "__main__.py",
                "errors.py",
                "shortage.py",
                "cli/__init__.py",
                "cli/main.py",
            )
        }
        for name in shipped()
    )


def tune(host: FakeHost) -> None:
    for role, settings in ROLES.items():
        promise(host.machine(), role, settings)
    host.boot()


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(words)
    output = capsys.readouterr()
    return code, output.out, output.err


def test_plan_shows_the_machine_and_who_lives_where(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    host = FakeHost(tmp_path, cpus=16, threads=2, nodes=2)
    code, out, _ = run(capsys, "plan", "--root", str(host.root), "--interface-node", "1")
    assert code == 0
    assert "│   I 4+12   F 5+13   S 6+14   G 7+15 " in out
    assert "│   · 0+8    · 1+9 " in out
    code, out, err = run(capsys, "plan", "--root", str(host.root), "--feed-cpus", "0")
    assert code == 2
    assert err.startswith("quietcore plan: ")
    assert "core_plan_feed_cpus; found 0" in err
    assert err.count("\n") == 1


def test_plan_from_lscpu(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    rows = [{"cpu": cpu, "core": cpu, "socket": 0, "node": 0, "online": True} for cpu in range(6)]
    path = tmp_path / "lscpu.json"
    path.write_text(json.dumps({"cpus": rows}))
    code, out, _ = run(capsys, "plan", "--from", str(path), "--json")
    assert code == 0
    assert json.loads(out)["isolated"] == [3, 4, 5]
    code, _, err = run(capsys, "plan", "--from", str(tmp_path / "none.json"))
    assert code == 2
    assert "none.json; found No such file or directory" in err


def test_audit_of_a_copy(capsys: pytest.CaptureFixture[str], host: FakeHost) -> None:
    """A copy tells all but whether units run and interrupts move: that it says, and does not guess."""
    tune(host)
    promise(host.machine(), "cpu_power", [{**POWER[0], "required": False}])
    host.machine().write_value("/sys/kernel/mm/transparent_hugepage/enabled", "never")
    for name, value in (("vm/swappiness", "0"), ("net/ipv4/tcp_rmem", "4096 131072 134217728")):
        host.put(f"/proc/sys/{name}", value + "\n")
    code, out, _ = run(capsys, "audit", "--root", str(host.root), "--role", "boot_params", "--role", "sysctl")
    assert (code, "9 settings: 9 ok, 0 drift" in out) == (0, True)
    host.put("/proc/sys/vm/swappiness", "30\n")
    code, out, _ = run(capsys, "audit", "--root", str(host.root), "--role", "sysctl")
    assert code == 1
    for line in (
        "drift    sysctl.swappiness",
        "failed: sysctl.swappiness: drift",
        "found   30",
        "remedy  quietcore apply",
    ):
        assert line in out
    code, out, _ = run(capsys, "audit", "--root", str(host.root), "--role", "sysctl", "--failed", "--json")
    value = json.loads(out)
    assert (code, value["exit"]) == (1, 1)
    assert [item["id"] for item in value["findings"]] == ["sysctl.swappiness"]
    code, out, _ = run(capsys, "audit", "--root", str(host.root), "--role", "cpu_power")
    assert code == 0
    assert "unsupported here" in out
    code, _, err = run(capsys, "audit", "--root", str(host.root), "--role", "x")
    assert code == 2
    assert "no such role on this host: --role; found x; expected boot_params, cpu_power" in err


def test_units_of_a_copy_without_cgroups_cannot_be_told(
    capsys: pytest.CaptureFixture[str], host: FakeHost
) -> None:
    tune(host)
    code, out, _ = run(capsys, "audit", "--root", str(host.root), "--role", "host_state")
    assert code == 3
    assert "whether it runs is not told by this tree" in out
    (host.root / "sys/fs/cgroup/system.slice").mkdir(parents=True)
    wants = host.root / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir()
    (wants / "quietcore-host.service").symlink_to("../quietcore-host.service")
    code, out, _ = run(capsys, "audit", "--root", str(host.root), "--role", "host_state")
    assert (code, "enabled, not running" in out) == (0, True)


def test_an_audit_of_nothing_cannot_tell(capsys: pytest.CaptureFixture[str], host: FakeHost) -> None:
    code, out, err = run(capsys, "audit", "--root", str(host.root))
    assert (code, out) == (3, "")
    assert "nothing was promised on this host" in err


def test_apply_and_revert_of_a_copy(capsys: pytest.CaptureFixture[str], host: FakeHost) -> None:
    promise(host.machine(), "sysctl", ROLES["sysctl"])
    host.put("/proc/sys/vm/swappiness", "30\n")
    code, out, _ = run(capsys, "apply", "--root", str(host.root), "--check")
    assert (code, host.get("/proc/sys/vm/swappiness")) == (0, "30")
    assert "would change /proc/sys/vm/swappiness: 30 → 0" in out
    code, out, _ = run(capsys, "apply", "--root", str(host.root))
    assert (code, host.get("/proc/sys/vm/swappiness")) == (0, "0")
    code, out, _ = run(capsys, "apply", "--root", str(host.root), "--json")
    assert json.loads(out)["changed"] is False
    code, out, _ = run(capsys, "revert", "--root", str(host.root), "--check", "--json")
    assert {"target": "value:/proc/sys/vm/swappiness", "previous": "0", "new": "60"} in json.loads(out)[
        "changes"
    ]
    assert host.get("/proc/sys/vm/swappiness") == "0"
    code, _, err = run(capsys, "revert", "--root", str(host.root), "--role", "boot_params")
    assert code == 2
    assert "this role has changed nothing here: --role; found boot_params; expected sysctl" in err
    code, out, _ = run(capsys, "revert", "--root", str(host.root))
    assert (code, host.get("/proc/sys/vm/swappiness")) == (0, "60")
    assert "/etc/sysctl.d/zz-quietcore.conf: removed" in out

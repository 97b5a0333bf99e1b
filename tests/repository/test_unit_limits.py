"""What the units of the pipeline are promised by the service manager, whatever ends them."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
UNITS = sorted(
    path for path in (ROOT / "roles").glob("*/templates/**/*.service.j2") if "Restart=" in path.read_text()
)


def section(text: str, name: str) -> list[str]:
    """Return the lines of one section of a unit."""
    lines = text.partition(f"[{name}]\n")[2].splitlines()
    ends = [number for number, line in enumerate(lines) if line.startswith("[")]
    return lines[: ends[0] if ends else None]


def test_there_are_such_units() -> None:
    names = {path.name for path in UNITS}
    assert {"quietcore-guard.service.j2", "quietcore-runtime.service.j2"} <= names


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_a_unit_that_restarts_is_never_given_up(path: Path) -> None:
    """systemd's own limit, 5 starts in 10 s, would leave a guard down whose configuration is mended a minute later."""
    assert "StartLimitIntervalSec=0" in section(path.read_text(), "Unit")


@pytest.mark.parametrize("name", ["quietcore-guard.service.j2", "quietcore-runtime.service.j2"])
def test_what_hangs_is_ended_and_started_again(name: str) -> None:
    (path,) = [path for path in UNITS if path.name == name]
    service = section(path.read_text(), "Service")
    assert "Type=notify" in service
    assert "Restart=always" in service
    assert any(line.startswith("WatchdogSec=") for line in service)

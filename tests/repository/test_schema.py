"""The generated layouts are what the schema says."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GENERATE = ROOT / "native/schema/generate.py"


def test_generated_files_are_up_to_date() -> None:
    done = subprocess.run([sys.executable, GENERATE, "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_check_finds_a_stale_file(tmp_path: Path) -> None:
    for name in ("generate.py", "shared_memory.toml"):
        target = tmp_path / "native/schema" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text((ROOT / "native/schema" / name).read_text())
    schema = tmp_path / "native/schema/shared_memory.toml"
    generate = [sys.executable, str(tmp_path / "native/schema/generate.py")]
    subprocess.run(generate, check=True, capture_output=True)
    schema.write_text(re.sub(r"version = \d+", "version = 999", schema.read_text(), count=1))
    done = subprocess.run([*generate, "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "out of date" in done.stdout

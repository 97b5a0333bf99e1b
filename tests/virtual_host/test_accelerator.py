"""KVM is believed only after a trial boot."""

import json
import platform
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from quietcore.errors import QuietcoreError
from quietcore.vhost import accelerator
from quietcore.vhost.image import Image
from quietcore.vhost.machine import Firmware, Shape
from quietcore.vhost.progress import Progress

QUIET = Progress(quiet=True)
FIRMWARE = Firmware(Path("/firmware/code.fd"), Path("/firmware/vars.fd"))


class Trial:
    """Stands in for the trial boot: counts, and answers as told."""

    def __init__(self, answer: str | None) -> None:
        self.answer = answer
        self.commands: list[Sequence[str]] = []

    def __call__(self, command: Sequence[str], console: Path) -> str | None:
        self.commands.append(command)
        return self.answer


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv(accelerator.ACCELERATOR_VARIABLE, raising=False)
    monkeypatch.setattr(accelerator, "qemu_version", lambda: "7.2")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    file = tmp_path / "kvm"
    file.touch()
    return file


def choose(tmp_path: Path, device: Path, trial: Trial, key: str = "image") -> accelerator.Choice:
    image = Image(tmp_path / key)
    return accelerator.choose(
        image, Shape(), FIRMWARE, tmp_path / "memory.json", QUIET, device=device, trial=trial
    )


def test_failing_trial_boot_means_emulation_and_is_remembered(tmp_path: Path, device: Path) -> None:
    trial = Trial("qemu ended at once: failed to set MSR 0x10a")
    first = choose(tmp_path, device, trial)
    assert first.accelerator == "tcg"
    assert "failed to set MSR" in first.describe()
    assert choose(tmp_path, device, trial) == first
    assert len(trial.commands) == 1


def test_passing_trial_boot_means_kvm(tmp_path: Path, device: Path) -> None:
    trial = Trial(None)
    assert choose(tmp_path, device, trial).accelerator == "kvm"
    command = list(trial.commands[0])
    assert any("unit=0" in word and "/firmware/code.fd" in word for word in command), (
        "the real machine has UEFI"
    )
    assert command[command.index("-accel") + 1] == "kvm"
    assert command[command.index("-kernel") + 1].endswith("/image/vmlinuz")


def test_another_image_is_tried_anew(tmp_path: Path, device: Path) -> None:
    trial = Trial(None)
    choose(tmp_path, device, trial)
    choose(tmp_path, device, trial, key="other")
    assert len(trial.commands) == 2


@pytest.mark.parametrize(
    "memory", ["", "{", "[]", '{"asked": null}', json.dumps({"asked": {}, "accelerator": "kvm"})]
)
def test_damaged_memory_is_no_answer(memory: str, tmp_path: Path, device: Path) -> None:
    (tmp_path / "memory.json").write_text(memory)
    trial = Trial("no kernel within 15 s")
    assert choose(tmp_path, device, trial).accelerator == "tcg"
    assert len(trial.commands) == 1


def test_without_device_nothing_is_tried(tmp_path: Path, device: Path) -> None:
    device.unlink()
    trial = Trial(None)
    assert choose(tmp_path, device, trial) == accelerator.Choice("tcg", f"no {device}")
    assert not trial.commands


def test_what_the_environment_asks_for_is_used_untried(
    tmp_path: Path, device: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(accelerator.ACCELERATOR_VARIABLE, "tcg")
    trial = Trial(None)
    assert choose(tmp_path, device, trial).accelerator == "tcg"
    assert not trial.commands
    monkeypatch.setenv(accelerator.ACCELERATOR_VARIABLE, "xen")
    with pytest.raises(QuietcoreError, match="found xen; expected kvm or tcg"):
        choose(tmp_path, device, trial)


def python(script: str) -> list[str]:
    return [sys.executable, "-c", script]


def test_trial_passes_when_the_console_shows_the_kernel(tmp_path: Path) -> None:
    console = tmp_path / "console"
    proof = "Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000000"
    script = f"import time; open({str(console)!r}, 'w').write({proof!r}); time.sleep(60)"
    assert accelerator.try_boot(python(script), console, 20) is None


def test_trial_fails_when_qemu_aborts(tmp_path: Path) -> None:
    script = "import sys; sys.exit('qemu: warning: many CPUs\\nqemu: error: failed to set MSR')"
    found = accelerator.try_boot(python(script), tmp_path / "console", 20)
    assert found == "qemu ended at once: qemu: error: failed to set MSR"


def test_trial_fails_when_the_guest_hangs_in_silence(tmp_path: Path) -> None:
    started = time.monotonic()
    found = accelerator.try_boot(python("import time; time.sleep(60)"), tmp_path / "console", 0.5)
    assert found is not None
    assert found.startswith("no kernel within")
    assert time.monotonic() - started < 20

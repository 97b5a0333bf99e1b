"""The trial of new boot parameters: where it stands, and what to do about it.

Without an action: show it. `confirm` judges this boot (a unit calls it at boot): healthy, the new parameters become
the default; not healthy in time, the host reboots into the old ones. `wait` waits until that is decided. `retry` puts
parameters that fell back on trial again, at the next boot.

Exit codes: 0 nothing is wrong, 1 a boot with new parameters fell back, 2 wrong usage, 3 could not tell.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path

from ...errors import ExitCode, QuietcoreError
from ..boot_confirm import boot_stage, confirm, retry
from ..boot_trial import Stage, Trial, why_left
from ..machine import Machine, exclusive

_MEANING = {
    Stage.NONE: "no boot parameters are on trial",
    Stage.ARMED: "the next boot is the trial",
    Stage.RUNNING: "this boot is the trial, and not confirmed yet",
    Stage.CONFIRMED: "confirmed",
    Stage.IN_EFFECT: "in effect: the parameters ran before they were promised, so that no boot was on trial",
    Stage.FELL_BACK: "fell back: this host runs with its old boot parameters",
}
_WAIT_SECONDS = 2.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("action", nargs="?", choices=["status", "confirm", "wait", "retry"], default="status")
    parser.add_argument(
        "--root", type=Path, default=Path("/"), metavar="FOLDER", help="look at a copied tree instead of /"
    )
    parser.add_argument("--timeout", type=float, default=900.0, metavar="S", help="of wait, seconds (900)")
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Do it, say where the trial stands, return the exit code."""
    machine = Machine(arguments.root)
    if arguments.action == "confirm":
        problems = confirm(machine, lambda: time.clock_gettime(time.CLOCK_BOOTTIME), time.sleep)
        if problems:
            print("rebooting into the old parameters: " + "; ".join(problems))
            return ExitCode.FOUND
    elif arguments.action == "retry":
        with exclusive(machine):
            retry(machine)
    now, trial = boot_stage(machine)
    until = time.monotonic() + arguments.timeout
    while arguments.action == "wait" and now is Stage.RUNNING:
        if time.monotonic() >= until:
            raise QuietcoreError(
                "the boot is still not confirmed",
                where=f"{arguments.timeout:g} s",
                remedy="see journalctl -u quietcore-boot-confirm.service",
                code=ExitCode.UNKNOWN,
            )
        time.sleep(_WAIT_SECONDS)
        now, trial = boot_stage(machine)
    _show(machine, now, trial, arguments.json)
    return ExitCode.FOUND if now is Stage.FELL_BACK else ExitCode.OK


def _show(machine: Machine, now: Stage, trial: Trial | None, as_json: bool) -> None:
    reason = why_left(machine, trial) if trial is not None and now is Stage.FELL_BACK else ""
    if as_json:
        value = {
            "version": 1,
            "stage": now.value,
            "reason": reason,
            "trial": asdict(trial) if trial is not None else None,
        }
        print(json.dumps(value, indent=2, ensure_ascii=False))
        return
    print(_MEANING[now])
    if trial is not None:
        rows = [("parameters", " ".join(trial.words)), (trial.status, trial.time), ("because", reason)]
        print("\n".join(f"  {name:<10} {text}" for name, text in rows if text))
    if now is Stage.FELL_BACK:
        print(
            "  remedy     change the parameters and apply them, or mend the cause, `quietcore boot retry`, reboot"
        )

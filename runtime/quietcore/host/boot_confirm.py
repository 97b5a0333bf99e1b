"""A boot with new parameters judged: confirmed where the host is healthy, else left for the old ones.

Healthy is: sshd greets, the kernel took the boot parameters as promised, and the units that were asked for are up.
A process that hangs or dies here confirms nothing: a timer then forces the reboot.
"""

from __future__ import annotations

import socket
from collections.abc import Callable

from ..errors import ExitCode, QuietcoreError
from .boot_environment import write_variable
from .boot_files import now
from .boot_menu import MENU
from .boot_read_back import read_back
from .boot_trial import CANDIDATE, REASON, STATE, Stage, Trial, load_trial, moved, stage
from .kinds import Context, kind_of
from .machine import AbsentError, Machine, UnreadableError, exclusive
from .settings import Setting, load_desired
from .targets import write_target
from .units import systemctl, unit_state

FLAG = "/run/quietcore-boot-confirmed"
DEFAULT_MINUTES = 5
# The judge gives up before the timer does, so that it can write why and reboot in good order.
SECONDS_BEFORE_THE_TIMER = 20.0
SECONDS_BETWEEN_LOOKS = 3.0
_GREETING_SECONDS = 20.0


def boot_stage(machine: Machine) -> tuple[Stage, Trial | None]:
    """Return where the trial stands, and the trial. Raises QuietcoreError (could not tell)."""
    try:
        trial = load_trial(machine)
        return stage(machine, trial), trial
    except (AbsentError, UnreadableError) as error:
        raise QuietcoreError(
            "the boot trial cannot be read", where=STATE, found=str(error), code=ExitCode.UNKNOWN
        ) from None


def confirm(
    machine: Machine,
    uptime: Callable[[], float],
    sleep: Callable[[float], None],
    greets: Callable[[Machine], str | None] | None = None,
) -> list[str]:
    """Confirm this boot as soon as it is healthy, and return nothing; else reboot, and return what was wrong.

    `uptime` in seconds since the boot; `greets` returns why sshd does not answer, None where it does.
    Raises QuietcoreError where this boot is no trial.
    """
    now_at, trial = boot_stage(machine)
    if trial is None or now_at is not Stage.RUNNING:
        raise QuietcoreError("this boot is no trial", where=STATE, found=now_at.value)
    context = Context(machine, load_desired(machine))
    wished = context.of_kind("boot_trial")
    options = wished[0].options if wished else {}
    until = float(options.get("minutes", DEFAULT_MINUTES)) * 60.0 - SECONDS_BEFORE_THE_TIMER
    while True:
        problems = unhealthy(context, list(options.get("units", [])), greets or sshd_greets)
        if not problems:
            try:
                with exclusive(machine):
                    _accept(machine, trial)
            except (
                QuietcoreError
            ) as error:  # another process is at it, or GRUB's environment cannot be written
                problems = [str(error)]
            else:
                return []
        if uptime() >= until:
            _leave(machine, trial, problems)
            return problems
        sleep(SECONDS_BETWEEN_LOOKS)


def unhealthy(context: Context, units: list[str], greets: Callable[[Machine], str | None]) -> list[str]:
    """Return what is wrong with this boot, one line each; nothing where it is healthy."""
    problems: list[str] = []
    for settings in context.desired.values():
        for setting in settings:
            problems += _parameter_problem(setting, context) if setting.kind == "kernel_parameter" else []
    for unit in units:
        try:
            if not unit_state(context.machine, unit).active:
                problems.append(f"{unit} is not active")
        except (AbsentError, UnreadableError) as error:
            problems.append(f"{unit}: {error}")
    said = greets(context.machine)
    return [*problems, said] if said else problems


def _parameter_problem(setting: Setting, context: Context) -> list[str]:
    finding = kind_of(setting).judge(setting, context)
    return [f"{finding.id}: {finding.found}: {finding.cause}"] if finding.failed else []


def sshd_greets(machine: Machine) -> str | None:
    """Return why sshd does not answer on this host, None where it greets on one of its addresses."""
    result = machine.run("sshd", "-T")
    addresses = [line.split()[1] for line in result.stdout.splitlines() if line.startswith("listenaddress ")]
    said = [] if result.returncode == 0 else [" ".join(result.stderr.split()) or "sshd -T failed"]
    for address in addresses or ["127.0.0.1:22"]:
        host, _, port = address.rpartition(":")
        host = {"0.0.0.0": "127.0.0.1", "[::]": "::1"}.get(host, host.strip("[]"))  # noqa: S104 - read, not bound
        try:
            with socket.create_connection((host, int(port)), timeout=_GREETING_SECONDS) as connection:
                connection.settimeout(_GREETING_SECONDS)
                if connection.recv(4) == b"SSH-":
                    return None
            said.append(f"{address}: no greeting")
        except (OSError, ValueError) as error:
            said.append(f"{address}: {error}")
    return "sshd does not answer: " + "; ".join(said)


def _accept(machine: Machine, trial: Trial) -> None:
    # That this boot, which carries the trial's mark, was healthy is on disk before the default is another one.
    _record(machine, moved(trial, "healthy", machine.boot_id, now()))
    write_variable(machine, "saved_entry", trial.default)
    _record(machine, moved(trial, "confirmed", machine.boot_id, now()))
    write_target(machine, f"file:{FLAG}", {"content": f"{trial.id}\n", "mode": "0644"})
    write_target(machine, f"file:{REASON}", None)


def _leave(machine: Machine, trial: Trial, problems: list[str]) -> None:
    _record(machine, moved(trial, "armed", trial.boot_id, trial.time, "; ".join(problems)))
    systemctl(machine, "reboot")


def retry(machine: Machine) -> None:
    """Put the parameters that fell back on trial again. Raises QuietcoreError where none did, and where the
    menu as it is now would not boot what is meant.
    """
    now_at, trial = boot_stage(machine)
    if trial is None or now_at is not Stage.FELL_BACK:
        raise QuietcoreError(
            "no boot fell back here", where=STATE, found=now_at.value, remedy="quietcore apply"
        )
    trial = moved(trial, "armed", machine.boot_id, now())
    read_back(machine, MENU, trial.words, exact=False)
    write_variable(machine, "next_entry", CANDIDATE)
    write_target(machine, f"file:{REASON}", None)
    _record(machine, trial)


def _record(machine: Machine, trial: Trial) -> None:
    write_target(machine, f"file:{STATE}", {"content": trial.to_json(), "mode": "0644"})

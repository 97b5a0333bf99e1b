"""Bring a host to what was promised, or back: the one place that changes anything.

Order: the promise itself (so that a run that is cut off is finished by the next one, or by the service at
boot),
files composed of several roles, values that are promised no longer, live values. Each target's previous value
is
in the journal, on disk, before it is changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..errors import ExitCode, QuietcoreError
from . import boot_loader
from .boot_change import after_the_menu, arm, before_the_files, menu_after_the_files
from .boot_files import BootFiles, boot_files, words_ever_written
from .composed import BOOT_TARGETS, SHARED, wanted_files
from .cpulist import parse_cpu_list
from .findings import Verdict, is_listed
from .journal import Entry, Journal
from .kinds import Change, Context, kind_of
from .kinds.huge_pages import compact
from .kinds.interrupts import read_interrupts
from .kinds.sysctl import check_related
from .machine import DESIRED_FOLDER, AbsentError, Machine, UnreadableError, exclusive
from .outcome import Outcome as Outcome
from .settings import Setting, desired_path, dump_settings, load_desired, parse_settings
from .targets import read_target, same, write_target
from .threads import masks
from .units import reader_of, systemctl
from .way_back import guard


def complete(role: str, values: Any, machine: Machine, where: str) -> tuple[Setting, ...]:
    """Parse and check a role's settings: what can never be right is refused here. Raises QuietcoreError."""
    settings = tuple(kind_of(setting).complete(setting) for setting in parse_settings(role, values, where))
    for setting in settings:
        kind_of(setting).check(setting, machine)
    return settings


def promise(
    machine: Machine,
    role: str,
    values: Any,
    check: bool = False,
    where: str = "settings",
    menu_later: bool = False,
) -> Outcome:
    """Record what a role promises and bring it about; `check` only tells what that would change.

    `menu_later` leaves GRUB's menu, which is slow to write, to a later promise of the same run.
    Raises QuietcoreError before anything is changed where a setting can never be right.
    """
    settings = complete(role, values, machine, where)
    context = _with_promise(machine, role, settings)
    if check:
        return _converge(context, {role: settings}, Dry(), menu_later=menu_later)
    with exclusive(machine):
        # What others promised may have changed while this process waited for its turn.
        context = _with_promise(machine, role, settings)
        return _converge(context, {role: settings}, Real(context), menu_later=menu_later)


def _with_promise(machine: Machine, role: str, settings: tuple[Setting, ...]) -> Context:
    """Return all that is promised, a role's new promise included. Raises QuietcoreError where it cannot be kept."""
    desired = load_desired(machine)
    desired[role] = settings
    if not settings:
        del desired[role]
    _check_together(desired)
    return Context(machine, desired)


def apply_all(
    machine: Machine, live_only: bool = False, check: bool = False, roles: Sequence[str] | None = None
) -> Outcome:
    """Bring about what was promised, by all roles or some; `live_only` leaves files and the boot loader alone."""

    def chosen(desired: Mapping[str, tuple[Setting, ...]]) -> dict[str, tuple[Setting, ...]]:
        return {role: settings for role, settings in desired.items() if roles is None or role in roles}

    desired = load_desired(machine)
    for settings in desired.values():
        for setting in settings:
            kind_of(setting).check(setting, machine)
    if check:
        return _converge(Context(machine, desired), chosen(desired), Dry(), live_only)
    with exclusive(machine):
        # A promise that was taken back while this process waited for its turn is not to be brought about again.
        context = Context(machine, load_desired(machine))
        return _converge(context, chosen(context.desired), Real(context), live_only)


def revert(machine: Machine, roles: Sequence[str] | None = None, check: bool = False) -> Outcome:
    """Put back what was there before Quietcore's first change, for some roles or (None) for all.

    Raises QuietcoreError for a role that has promised and changed nothing.
    """
    if check:
        context, gone = _without(machine, roles)
        return _converge(context, gone, Dry())
    with exclusive(machine):
        context, gone = _without(machine, roles)
        outcome = _converge(context, gone, Real(context))
        if not context.desired:
            machine.remove_empty_folders(DESIRED_FOLDER, "/etc/quietcore")
        return outcome


def _without(machine: Machine, roles: Sequence[str] | None) -> tuple[Context, dict[str, tuple[Setting, ...]]]:
    """Return what is still promised once these roles (None: all) promise nothing, and those roles."""
    desired = load_desired(machine)
    known = set(desired) | {entry.role for entry in Journal(machine).open_targets().values()} - {SHARED}
    chosen = sorted(known) if roles is None else list(roles)
    left = {role: settings for role, settings in desired.items() if role not in chosen}
    return Context(machine, left), dict.fromkeys(chosen, ())


class Dry:
    """Changes nothing: what check mode works with."""

    real = False

    def desired_file(self, role: str, content: str | None) -> None:
        """Leave the promise as it is."""

    def change(self, role: str, change: Change) -> None:
        """Leave the target as it is."""

    def remember(self, role: str, target: str) -> None:
        """Leave the journal as it is."""

    def put_back(self, change: Change) -> None:
        """Leave the target as it is."""

    def close(self, entry: Entry) -> None:
        """Leave the journal as it is."""

    def menu(self, words: Sequence[str], gone: Sequence[str]) -> None:
        """Leave GRUB's menu as it is."""

    def reload_units(self) -> None:
        """Leave systemd as it is."""

    def restart(self, unit: str) -> None:
        """Leave the unit as it is."""

    def forget(self, unit: str) -> None:
        """Leave the unit as it is."""


class Real(Dry):
    """Changes the host: journal first."""

    real = True

    def __init__(self, context: Context) -> None:
        self._machine, self._journal = context.machine, context.journal

    def desired_file(self, role: str, content: str | None) -> None:
        """Write or remove a role's promise."""
        write_target(
            self._machine,
            f"file:{desired_path(role)}",
            None if content is None else {"content": content, "mode": "0644"},
        )

    def change(self, role: str, change: Change) -> None:
        """Write a target, its previous value being on disk."""
        opened = self._journal.open_targets()
        if change.target.startswith("file:") or change.target not in opened:
            # Folders are made by roles only: those of composed files are the distribution's.
            missing = [] if role == SHARED else self._machine.missing_folders(change.target)
            folders = [f"folder:{path}" for path in missing]
            self._journal.append(
                [
                    *(("change", role, folder, None, "made") for folder in folders if folder not in opened),
                    ("change", role, change.target, change.previous, change.new),
                ]
            )
        if change.target.startswith("network:"):
            guard(self._machine, change.target.split(":")[1], role)
        write_target(self._machine, change.target, change.new)
        if "/hugepages-" in change.target and read_target(self._machine, change.target) != change.new:
            compact(self._machine, change.target)
            write_target(self._machine, change.target, change.new)

    def remember(self, role: str, target: str) -> None:
        """Note what a target holds that needs no change: it may drift later, and undo is to know the original."""
        if target in self._journal.open_targets():
            return
        try:
            found = read_target(self._machine, target)
        except UnreadableError:
            return
        if found is not None:
            self._journal.append([("change", role, target, found, found)])

    def put_back(self, change: Change) -> None:
        """Write a target's original value; its journal entry stays open until `close`."""
        write_target(self._machine, change.target, change.new)

    def close(self, entry: Entry) -> None:
        """Note in the journal that a target holds its original value again."""
        self._journal.append([("restored", entry.role, entry.target, None, entry.previous)])

    def menu(self, words: Sequence[str], gone: Sequence[str]) -> None:
        """Write GRUB's menu anew, with these parameters and without those."""
        boot_loader.regenerate_menu(self._machine, words, gone)

    def reload_units(self) -> None:
        """Have systemd read its files again."""
        systemctl(self._machine, "daemon-reload")

    def restart(self, unit: str) -> None:
        """Start a unit anew, if it runs."""
        systemctl(self._machine, "try-restart", unit)

    def forget(self, unit: str) -> None:
        """End a service that a timer has just started, its file being gone; mostly systemd knows it no more."""
        for word in ("stop", "reset-failed"):
            self._machine.run("systemctl", word, unit)


class Aftermath:
    """What systemd has to be told once files that it reads were changed."""

    def __init__(self, hands: Dry) -> None:
        self._hands = hands
        self._reload = False
        self._restart: set[str] = set()
        self._gone: set[str] = set()

    def note(self, target: str, gone: bool = False) -> None:
        """Remember that a target was changed, or removed."""
        self._reload |= target.startswith("file:/etc/systemd/system/")
        if gone:
            self._gone.add(target.rpartition("/")[2])
        unit = reader_of(target)
        if unit is not None:
            self._restart.add(unit)

    def reload(self) -> None:
        """Have systemd read its files again, if any was changed."""
        if self._reload:
            self._hands.reload_units()
            self._reload = False

    def settle(self) -> None:
        """Do all that is left."""
        self.reload()
        for unit in sorted(self._restart):
            self._hands.restart(unit)
        self._restart.clear()
        # Those of timers alone: to stop a slice or another service is to stop the pipeline.
        for name in sorted(self._gone):
            service = name.removesuffix(".timer") + ".service"
            if name.endswith(".timer") and service in self._gone:
                self._hands.forget(service)
        self._gone.clear()


def _check_together(desired: Mapping[str, tuple[Setting, ...]]) -> None:
    """Refuse two roles that want different things of the same target. Raises QuietcoreError."""
    check_related(
        setting for settings in desired.values() for setting in settings if setting.kind == "sysctl"
    )
    owner: dict[tuple[str, str], Setting] = {}
    for settings in desired.values():
        for setting in settings:
            if setting.kind == "interrupts":
                continue
            other = owner.setdefault((setting.kind, setting.name), setting)
            if other.role != setting.role and (other.wanted, other.options) != (
                setting.wanted,
                setting.options,
            ):
                raise QuietcoreError(
                    "two roles want different things",
                    where=f"{setting.kind} {setting.name}",
                    found=f"{other.wanted} ({other.role}) and {setting.wanted} ({setting.role})",
                    remedy=f"take it out of {other.variable or other.id} or {setting.variable or setting.id}",
                )


def _converge(
    context: Context,
    roles: Mapping[str, tuple[Setting, ...]],
    hands: Dry,
    live_only: bool = False,
    menu_later: bool = False,
) -> Outcome:
    """Bring these roles' settings about with these hands."""
    outcome = Outcome()
    for role, settings in roles.items():
        _desired_file(context, role, settings, hands, outcome)
    boot = None if live_only else _composed_files(context, hands, outcome, menu_later)
    aftermath = Aftermath(hands)
    _restore_dropped(context, set(roles), hands, outcome, aftermath)
    for role, settings in roles.items():
        for setting in settings:
            if live_only and setting.kind in ("file", "drop_in", "network_link"):
                continue
            # Units are as their files say only after it, and systemd has the kernel start threads in it.
            if setting.kind in ("unit", "threads"):
                aftermath.reload()
            changes = list(kind_of(setting).changes(setting, context))
            changing = {change.target for change in changes}
            for target in kind_of(setting).baseline(setting):
                if target not in changing:
                    hands.remember(role, target)
            for change in changes:
                hands.change(role, change)
                outcome.changes.append(change)
                aftermath.note(change.target)
    aftermath.settle()
    if boot is not None and not menu_later:
        arm(context, boot, hands, outcome)
    _see_how_it_stands(context, roles, outcome, hands.real, menu_later)
    return outcome


def _see_how_it_stands(
    context: Context, roles: Mapping[str, tuple[Setting, ...]], outcome: Outcome, real: bool, menu_later: bool
) -> None:
    """Judge every setting after the run: what did not come about is a failure of the run."""
    for settings in roles.values():
        for setting in settings:
            finding = kind_of(setting).judge(setting, context)
            outcome.findings.append(finding)
            if setting.kind == "boot_trial" and finding.verdict is Verdict.UNSUPPORTED:
                outcome.notes.append(
                    f"no boot on trial: {finding.cause}; the new parameters are the default at once"
                )
            if setting.needs_boot and (menu_later or not real):
                # Check mode configures nothing and a later menu is not there yet: what is due shows as missing.
                outcome.reboot_required |= finding.verdict not in (Verdict.OK, Verdict.UNSUPPORTED)
                continue
            outcome.reboot_required |= setting.needs_boot and finding.verdict is Verdict.PENDING
            if real and finding.failed and finding.verdict is not Verdict.PENDING:
                outcome.failures.append(
                    f"{finding.id}: {finding.found} instead of {finding.wanted}: "
                    f"{finding.cause}; remedy: {finding.remedy}"
                )


def _desired_file(
    context: Context, role: str, after: Iterable[Setting], hands: Dry, outcome: Outcome
) -> None:
    content = dump_settings(role, after) if role in context.desired else None
    target = f"file:{desired_path(role)}"
    found = read_target(context.machine, target)
    if (found and found["content"]) != content:
        hands.desired_file(role, content)
        new = None if content is None else {"content": content, "mode": "0644"}
        outcome.changes.append(Change(target, found, new))


def _composed_files(context: Context, hands: Dry, outcome: Outcome, menu_later: bool) -> BootFiles:
    """Write the files that several roles share, and GRUB's menu where it lags behind them."""
    boot = boot_files(context)
    gone = [word for word in words_ever_written(context) if word not in boot.words]
    opened = context.journal.open_targets()
    before_the_files(context, boot, hands, outcome, menu_later)
    written: list[Change] = []
    closing: list[Entry] = []
    for path, wanted in wanted_files(context, boot).items():
        target = f"file:{path}"
        found, entry = read_target(context.machine, target), opened.get(target)
        new = wanted
        if (
            wanted is None
        ):  # nothing promised any more: what was there before us; where it is not ours, what is there
            new = found if entry is None else entry.previous
            closing += [entry] if entry is not None else []
        change = Change(target, found, new)
        if found == new:
            continue
        if wanted is None:
            hands.put_back(change)
        else:
            hands.change(SHARED, change)
        outcome.changes.append(change)
        written.append(change)
    if not menu_later:
        files = [change for change in written if change.target in BOOT_TARGETS]
        menu_after_the_files(context, boot, files, gone, hands, outcome)
    after_the_menu(context, boot, gone, hands, outcome)
    for entry in closing:
        hands.close(entry)
    return boot


def _restore_dropped(
    context: Context, roles: set[str], hands: Dry, outcome: Outcome, aftermath: Aftermath
) -> None:
    """Put back what these roles changed earlier and do not promise any more, the latest change first."""
    machine = context.machine
    promised = [setting for settings in context.desired.values() for setting in settings]
    for target, entry in reversed(context.journal.open_targets().items()):
        if entry.role not in roles or any(kind_of(setting).owns(setting, target) for setting in promised):
            continue
        try:
            change = _way_back(machine, entry)
            if change is not None:
                hands.put_back(change)
            hands.close(entry)
        except AbsentError as error:
            outcome.notes.append(f"{target}: nothing to put back: {error}")
            hands.close(entry)
            continue
        except (UnreadableError, QuietcoreError) as error:
            outcome.failures.append(f"{target} could not be put back: {error}")
            continue
        if change is not None:
            outcome.changes.append(change)
            aftermath.note(target, gone=change.new is None)


def _way_back(machine: Machine, entry: Entry) -> Change | None:
    """Return the change that restores a target, None where it already holds its original value. Raises
    AbsentError.
    """
    found = None if entry.target.startswith("threads:") else read_target(machine, entry.target)
    if entry.target.startswith("irq:"):
        _, number, name = entry.target.split(":", 2)
        if not any(str(item.number) == number and item.name == name for item in read_interrupts(machine)):
            raise AbsentError("that interrupt is no longer in use")
    elif entry.target.startswith("value:") and found is None:
        raise AbsentError("the kernel no longer offers it")
    elif entry.target.startswith("unit:") and found is None:
        raise AbsentError("the unit is no longer installed")
    elif entry.target.startswith("network:") and found is None:
        raise AbsentError("that card is no longer there")
    elif entry.target.startswith("folder:") and not machine.is_empty_folder(entry.target[len("folder:") :]):
        return None  # somebody else keeps files there by now
    elif entry.target.startswith("threads:"):
        found = masks(machine, entry.previous)
        if not found:
            raise AbsentError("those threads have ended")
        if all(parse_cpu_list(text) == parse_cpu_list(entry.previous[key]) for key, text in found.items()):
            return None
    if same(entry.target, found, entry.previous):
        return None
    return Change(entry.target, found, entry.previous)


def loosen(
    settings: Iterable[Mapping[str, Any]], required: bool, expected_unsupported: Iterable[str]
) -> list[dict[str, Any]]:
    """Return settings that say of themselves whether lacking support is a failure."""
    expected = list(expected_unsupported)
    return [
        {
            **setting,
            "required": bool(setting.get("required", required))
            and not is_listed(str(setting.get("id")), expected),
        }
        for setting in settings
    ]


def outcome_code(outcome: Outcome) -> ExitCode:
    """Return the exit code of a run: a reboot that is due is not a failure of the run itself."""
    return ExitCode.FOUND if outcome.failures else ExitCode.OK

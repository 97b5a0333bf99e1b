"""Bring a host to what was promised, or back: the one place that changes anything.

Order: the promise itself (so that a run that is cut off is finished by the next one, or by the service at boot),
files composed of several roles, values that are promised no longer, live values. What a target holds, and everything
that writing it may change, is in the journal, on disk, before it is changed. A target that refuses is told with its
cause, and never stops the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..errors import ExitCode, QuietcoreError
from .answers import PATH, judged, save_answers
from .attempts import Attempts, bring_about
from .boot_change import after_the_menu, arm, before_the_files, menu_after_the_files
from .boot_files import BootFiles, boot_files, words_ever_written
from .composed import BOOT_TARGETS, SHARED, wanted_files
from .findings import Verdict, is_listed
from .hands import Aftermath, Dry, Real
from .journal import Entry, Journal
from .kinds import Change, Context, kind_of
from .kinds.huge_pages import check_pools_together
from .kinds.sysctl import check_related
from .machine import DESIRED_FOLDER, Machine, exclusive
from .outcome import Outcome as Outcome
from .settings import Setting, desired_path, dump_settings, load_desired, parse_settings
from .targets import read_target
from .undo import restore_dropped


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
    context = Context(machine, desired)
    _check_together(context)
    return context


def apply_all(
    machine: Machine, live_only: bool = False, check: bool = False, roles: Sequence[str] | None = None
) -> Outcome:
    """Bring about what was promised, by all roles or some; `live_only` leaves files and the boot loader alone.

    What has become wrong since it was promised (a CPU that is gone) is a failure, and stops nothing else.
    """

    def chosen(desired: Mapping[str, tuple[Setting, ...]]) -> dict[str, tuple[Setting, ...]]:
        return {role: settings for role, settings in desired.items() if roles is None or role in roles}

    if check:
        context = Context(machine, load_desired(machine))
        return _converge(context, chosen(context.desired), Dry(), live_only)
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


def _check_together(context: Context) -> None:
    """Refuse what is not right together: two wishes for one target, or more than there is. Raises QuietcoreError."""
    desired = context.desired
    check_related(context.of_kind("sysctl"), context.machine)
    originals = {target: entry.previous for target, entry in context.journal.open_targets().items()}
    check_pools_together(context.of_kind("huge_pages"), context.machine, originals)
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
    restore_dropped(context, set(roles), hands, outcome, aftermath)
    wrong = _wrong_by_now(context, roles)
    run = [
        setting
        for settings in roles.values()
        for setting in settings
        if setting.id not in wrong and not (live_only and setting.kind in ("file", "drop_in", "network_link"))
    ]
    attempts = bring_about(context, run, hands, outcome, aftermath)
    outcome.failures += [*wrong.values(), *aftermath.settle()]
    if boot is not None and not menu_later:
        arm(context, boot, hands, outcome)
    _see_how_it_stands(context, roles, attempts, outcome, hands.real, menu_later)
    return outcome


def _wrong_by_now(context: Context, roles: Mapping[str, tuple[Setting, ...]]) -> dict[str, str]:
    """Return why settings can never be right on this machine, by id."""
    wrong: dict[str, str] = {}
    for settings in roles.values():
        for setting in settings:
            try:
                kind_of(setting).check(setting, context.machine)
            except QuietcoreError as error:
                wrong[setting.id] = f"{setting.id}: {error}"
    return wrong


def _see_how_it_stands(
    context: Context,
    roles: Mapping[str, tuple[Setting, ...]],
    attempts: Attempts,
    outcome: Outcome,
    real: bool,
    menu_later: bool,
) -> None:
    """Judge every setting after the run: what did not come about is a failure of the run."""
    answers = attempts.answers()
    failed: set[str] = set()
    for settings in roles.values():
        for setting in settings:
            finding = judged(setting, context, answers)
            outcome.findings.append(finding)
            if setting.kind == "boot_trial" and finding.verdict is Verdict.UNSUPPORTED:
                outcome.notes.append(
                    f"no boot on trial: {finding.cause}; the new parameters are the default at once"
                )
            if finding.failed:
                failed.add(setting.id)
            if not real and not finding.readable:
                outcome.failures.append(f"{finding.id}: {finding.cause}; remedy: {finding.remedy}")
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
    outcome.notes += [f"{item.setting}: {item.said}" for item in answers if item.setting not in failed]
    if real:
        promised = [setting.id for settings in context.desired.values() for setting in settings]
        lasting = [item for item in answers if item.setting in failed]
        try:
            save_answers(context.machine, roles, lasting, promised)
        except OSError as error:
            outcome.notes.append(
                f"{PATH} could not be written, so the audit knows no causes: {error.strerror}"
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

"""GRUB's menu read back before it is used: what boots next, what boots after that, and who is at fault where it is not
what is meant.

    next boot     `next_entry` is the candidate: kernel, initial RAM disks and every word, the trial's mark among them
    after it      `next_entry` is gone by itself: the entry that is known to be good, and again at the boot after that
    confirmed     `saved_entry` is what GRUB booted before: the candidate's kernel and words without those of the trial

What the evaluator cannot tell is refused, like what is otherwise than meant.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..errors import ExitCode, QuietcoreError
from .boot_menu import BLOCK, MENU, Blocks, boots, environment, read_bytes
from .boot_trial import (
    CANDIDATE,
    GOOD,
    MARK,
    SCRIPT,
    Trial,
    frozen_entries,
    load_trial,
    ordinary_environment,
    without_trial,
)
from .grub import Boot, CannotTellError, HostDisk, Machinery, bytes_of, evaluate, text_of
from .grub.environment_block import variables
from .grub.kernel_line import words_of
from .grub_defaults import DROP_IN, VARIABLE, culprit
from .machine import AbsentError, Machine, UnreadableError

_SECTION = re.compile(r"^### (BEGIN|END) (\S+) ###$")


def read_back(machine: Machine, menu: str, words: Sequence[str], exact: bool = True) -> None:
    """See that a menu boots what is meant, with GRUB's environment as it will be. Raises QuietcoreError where not.

    `menu` is the file that is to become GRUB's. With a trial in preparation all of its boots are looked at; without one
    the default entry is to have `words`. Not `exact`: the candidate may still be frozen from an older menu.
    """
    trial = load_trial(machine)
    try:
        if trial is not None and trial.status in ("prepared", "armed") and machine.exists(SCRIPT):
            prove_trial(machine, trial, menu, exact)
        elif trial is None or trial.status != "healthy":
            _see_default(machine, trial, menu, words)
    except CannotTellError as error:
        if trial is None:
            return  # nothing is on trial, and each parameter's finding says what nobody can tell
        raise _refused(
            f"{error.reason} ({_file_of(machine, menu, error.where or '')})", "a menu that can be read"
        ) from None
    except (AbsentError, UnreadableError) as error:
        raise _refused(str(error), "a menu that can be read") from None


def prove_trial(machine: Machine, trial: Trial, menu: str, exact: bool) -> None:
    """See that the next boot is the candidate's, the one after it the good entry's. Raises QuietcoreError, and what
    `boot_menu.boots` raises.
    """
    meant = _meant(machine)
    armed = environment(machine, {"next_entry": CANDIDATE, "saved_entry": GOOD})
    first = boots(machine, armed, menu).boot
    _same(machine, menu, "the next boot", first, meant[CANDIDATE])
    if f"{MARK}={trial.id}" not in (words_of(first.line) or ()):
        raise _refused(
            f"{len(first.line)} characters of command line, and the end is cut off", "2047 characters at most"
        )
    after: Blocks = dict(first.blocks)
    for which in ("the boot after the trial", "the second boot after the trial"):
        boot = boots(machine, after, menu).boot
        if boot.identifier == CANDIDATE:
            left = f"; {first.why}" if first.why else ""
            raise _refused(f"{which} is on trial again: GRUB does not clear next_entry{left}", GOOD)
        saved = variables(after[BLOCK]).get("saved_entry", "")
        if boot.identifier != GOOD and saved != GOOD:
            raise _refused(
                f"{which} is the entry {boot.identifier!r}: the boot before it sets saved_entry to {text_of(saved)!r},"
                f" by prev_saved_entry in {BLOCK} or by savedefault in an entry",
                f"saved_entry={GOOD} as it was left (grub-editenv {BLOCK} unset prev_saved_entry)",
            )
        _same(machine, menu, which, boot, meant[GOOD])
        after = dict(boot.blocks)
    good = boots(machine, environment(machine, {"next_entry": None, "saved_entry": GOOD}), menu).boot
    _same(machine, menu, "a boot before the trial", good, meant[GOOD])
    confirmed = boots(machine, ordinary_environment(machine, trial.default), menu).boot
    wanted = without_trial(meant[CANDIDATE].words)
    if not exact:
        wanted = list(confirmed.words)
    elif confirmed.kernel != meant[CANDIDATE].kernel or confirmed.initial != meant[CANDIDATE].initial:
        raise _refused(
            f"once confirmed, {trial.default} boots {confirmed.kernel or confirmed.why}, not what was on trial",
            meant[CANDIDATE].kernel,
        )
    if list(confirmed.words) != wanted or any(word not in _of_the_kernel(confirmed) for word in trial.words):
        raise _lacking(machine, trial.words, confirmed, wanted)


def _meant(machine: Machine) -> dict[str, Boot]:
    """Return what the script's frozen entries boot, each read alone."""
    found: dict[str, Boot] = {}
    for name, text in frozen_entries(machine.read_raw(SCRIPT)).items():
        # Functions of the menu that the entry calls are not there: they load no kernel.
        alone = "\n".join(line for line in text.splitlines() if _loads(line))
        found[name] = evaluate(Machinery(SCRIPT, bytes_of(alone)), lambda: HostDisk(machine)).boot
    for name in (GOOD, CANDIDATE):
        if name not in found or not found[name].kernel:
            why = found[name].why if name in found else "it is not in the script"
            raise _refused(f"the entry {name}: {why}", "a kernel and its command line")
    return found


def _loads(line: str) -> bool:
    word = line.split(None, 1)[0] if line.split() else ""
    return word in ("menuentry", "}") or word.startswith(("linux", "initrd", "search"))


def _same(machine: Machine, menu: str, which: str, boot: Boot, meant: Boot) -> None:
    """Refuse a boot that is not the one meant, naming what set GRUB's default."""
    if not boot.kernel:
        raise _refused(f"{which} boots nothing: {boot.why}", meant.kernel)
    if boot.missing:
        raise _refused(
            f"{which} has no initial RAM disk: {' '.join(boot.missing)} is not there", meant.kernel
        )
    if boot.identifier != meant.identifier:
        raise _refused(
            f"{which} is the entry {boot.identifier!r}, not {meant.identifier!r}: {_who(machine, menu, boot)}",
            f"default is next_entry, else saved_entry of {BLOCK}",
        )
    if (boot.kernel, boot.initial, boot.words) != (meant.kernel, meant.initial, meant.words):
        raise _refused(f"{which} gets {boot.line}", meant.line)


def _who(machine: Machine, menu: str, boot: Boot) -> str:
    """Return the file that decides which entry is the default."""
    place, value = boot.default_set, boot.default
    if not place:
        return "nothing sets GRUB's default"
    if place == f"({'boot'}){BLOCK}":
        values = variables(dict(boot.blocks).get(BLOCK, ""))
        return f"{BLOCK} itself sets default={text_of(values.get('default', ''))}"
    file = _file_of(machine, menu, place)
    if file.startswith("/etc/grub.d/00_header") or file.startswith(MENU):
        return culprit(machine, "GRUB_DEFAULT", "GRUB_DEFAULT=saved")
    return f"{file} sets default={value}"


def _file_of(machine: Machine, menu: str, place: str) -> str:
    """Return the file that a place of the menu comes from: the script that wrote those lines, or a file it reads."""
    name, _, line = place.partition(": line ")
    if name != MENU:
        path = name.partition(")")[2] if name.startswith("(") else name
        return f"{path}: line {line}" if line else path
    number = int(line.partition(":")[0]) if line.partition(":")[0].isdigit() else 0
    section = ""
    for text in text_of(read_bytes(machine, menu)).split("\n")[:number]:
        match = _SECTION.match(text)
        if match is not None:
            section = match[2] if match[1] == "BEGIN" else ""
    return section or place


def _of_the_kernel(boot: Boot) -> tuple[str, ...]:
    """Return the words that the kernel reads: what follows `--` is init's."""
    return boot.words[: boot.words.index("--")] if "--" in boot.words else boot.words


def _see_default(machine: Machine, trial: Trial | None, menu: str, words: Sequence[str]) -> None:
    """Refuse a menu whose default entry boots nothing, or without the parameters that are configured."""
    blocks = (
        ordinary_environment(machine, trial.default) if trial else environment(machine, {"next_entry": None})
    )
    boot = boots(machine, blocks, menu).boot
    if not boot.kernel:
        raise _refused(f"the default entry boots nothing: {boot.why}", "an entry with a Linux kernel")
    if any(word not in _of_the_kernel(boot) for word in words):
        raise _lacking(machine, words, boot, [*boot.words, *words])


def _lacking(machine: Machine, words: Sequence[str], boot: Boot, wanted: Sequence[str]) -> QuietcoreError:
    """Return the refusal of a default entry without the parameters."""
    missing = [word for word in words if word not in _of_the_kernel(boot)]
    if missing and all(word in boot.words for word in missing):
        found = f"the default entry has {' '.join(missing)} behind `--`, where words are for init alone"
        return _refused(found, "no `--` below /etc/default")
    if missing:
        why = culprit(machine, VARIABLE, f"{VARIABLE}={' '.join(words)}")
        return _refused(f"the default entry is without {' '.join(missing)}: {why}", f"what {DROP_IN} says")
    return _refused(f"once confirmed, the default entry gets {' '.join(boot.words)}", " ".join(wanted))


def _refused(found: str, expected: str) -> QuietcoreError:
    return QuietcoreError(
        "GRUB's menu does not come out as meant, so nothing is put on trial, and what was there is back",
        where=MENU,
        found=found,
        expected=expected,
        remedy="mend the file that is named, then run this again; boot_params_fallback: never does without a trial",
        code=ExitCode.FOUND,
    )

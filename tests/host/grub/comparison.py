"""The evaluator's answer to a case of the emulator, in the form of the emulator's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from tests.host.grub.emulator import Answer, Case

from quietcore.host.grub import CannotTellError, Machinery, bytes_of, evaluate


class CaseDisk:
    """The disk that the emulator finds, as a mapping."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self._files = files
        self._blocks: dict[str, str] = {}

    def kind(self, path: str) -> str | None:
        if path in self._files:
            return "file" if self._files[path] else "empty"
        inside = any(name.startswith(path.rstrip("/") + "/") for name in self._files)
        return "folder" if inside else ""

    def read(self, path: str) -> str | None:
        return self._blocks.get(path, self._files.get(path))

    def write(self, path: str, text: str) -> None:
        self._blocks[path] = text

    def written(self) -> tuple[tuple[str, str], ...]:
        return tuple(self._blocks.items())


def answer(case: Case, index: int) -> Answer:
    """Return what the evaluator says of a case that stands at an index of the emulator's batch."""
    folder = f"(hd0)/c{index}"
    files = {f"{folder}/{name}": text for name, text in case.files}
    files |= {f"{folder}/grub.cfg": case.text, "(hd0)/vmlinuz": "kernel", "(hd0)/initrd": "initrd"}
    if case.block:
        files[f"{folder}/grubenv"] = case.block
    given = {"root": "hd0", "prefix": folder, "grub_cpu": "x86_64"}
    machinery = Machinery(f"{folder}/grub.cfg", case.text, "emu", given)
    boot = evaluate(machinery, lambda: CaseDisk(files)).boot
    out, chosen = None, ""
    if boot.kernel:
        words = "".join(f"<{bytes_of(word)}>" for word in (boot.kernel, *boot.words))
        out = f"L{words}I" + "".join(f"<{bytes_of(word)}>" for word in boot.initial)
        chosen = ">".join(bytes_of(name).replace(">", ">>") for name in boot.path)
    block = dict(boot.blocks).get(f"{folder}/grubenv", case.block)
    return Answer(out, chosen, block)


def differences(cases: Sequence[Case], answers: Sequence[Answer]) -> list[str]:
    """Return where the evaluator says something else than GRUB, with both answers."""
    found: list[str] = []
    for index, (case, theirs) in enumerate(zip(cases, answers, strict=True)):
        try:
            ours = answer(case, index)
        except CannotTellError as error:
            if "the glob" in str(error):
                continue  # outside the grammar, which the generator hits by chance: refused by name is the answer
            ours = Answer(str(error), "", "")
        if theirs.out is not None and not theirs.out.startswith("L"):
            # The emulator's `initrd` is a function that prints; GRUB's own refuses without a kernel, and boots nothing.
            theirs = replace(theirs, out=None, chosen="")
        if ours != theirs:
            found.append(
                f"case {index} of the batch: GRUB {theirs}\nevaluator {ours}\n{case.text}\n{case.block.rstrip('#')}"
            )
    return found

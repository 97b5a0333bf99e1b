"""Options of GRUB's commands. Source: grub-core/lib/arg.c of GRUB 2.06.

Options may stand anywhere among the other words; `--` ends them; `--name value` and `--name=value` mean the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence


def parted(
    words: Sequence[str],
    known: Mapping[str, bool],
    refuse: Callable[[str], Exception],
    short: Mapping[str, str] | None = None,
    dashes: bool = False,
) -> tuple[dict[str, list[str]], list[str]]:
    """Return the options with their values, and the other words.

    `known` names each long option and whether it takes a value, `short` the long name of each letter; with `dashes`
    words that begin with one dash and are no option are ordinary ones. Raises what `refuse` makes of an unknown option.
    """
    options: dict[str, list[str]] = {}
    rest: list[str] = []
    left = list(words)
    while left:
        word = left.pop(0)
        if word == "--":
            return options, rest + left
        if not word.startswith("-") or word == "-":
            rest.append(word)
            continue
        name, equals, value = word[2:].partition("=")
        if not word.startswith("--"):
            letter = word[1:]
            if letter not in (short or {}):
                if dashes:
                    rest.append(word)
                    continue
                raise refuse(f"the option {word}")
            name, equals = (short or {})[letter], ""
        if name not in known:
            if dashes and equals:
                rest.append(word)
                continue
            raise refuse(f"the option {word}")
        if known[name] and not equals:
            if not left:
                raise refuse(f"the option {word} without a value")
            value = left.pop(0)
        elif equals and not known[name]:
            raise refuse(f"the option {word} with a value")
        options.setdefault(name, []).append(value)
    return options, rest

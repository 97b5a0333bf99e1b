"""GRUB's variables: a submenu or another configuration sees copies of the exported ones only.

Source: grub-core/kern/env.c and normal/context.c of GRUB 2.06.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Variable:
    """A value, whether inner contexts see it, and where it was last set."""

    value: str
    exported: bool = False
    where: str = ""


@dataclass(slots=True)
class Variables:
    """The contexts, the innermost last."""

    contexts: list[dict[str, Variable]] = field(default_factory=lambda: [{}])

    def get(self, name: str) -> str | None:
        """Return a value, None where it is not set."""
        found = self.contexts[-1].get(name)
        return None if found is None else found.value

    def where(self, name: str) -> str:
        """Return the place of a variable's last assignment, empty where it has none."""
        found = self.contexts[-1].get(name)
        return "" if found is None else found.where

    def set(self, name: str, value: str, where: str = "") -> None:
        """Set a variable; it stays exported where it was."""
        found = self.contexts[-1].get(name)
        self.contexts[-1][name] = Variable(value, found.exported if found is not None else False, where)

    def unset(self, name: str) -> None:
        """Remove a variable."""
        self.contexts[-1].pop(name, None)

    def export(self, name: str) -> None:
        """Let inner contexts see a variable; one that is not set becomes empty."""
        self.contexts[-1].setdefault(name, Variable("")).exported = True

    def open(self) -> None:
        """Begin an inner context with copies of the exported variables."""
        outer = self.contexts[-1]
        self.contexts.append(
            {name: Variable(item.value, True, item.where) for name, item in outer.items() if item.exported}
        )

    def close(self) -> None:
        """Leave the inner context: its variables are gone, changes of exported ones too."""
        self.contexts.pop()

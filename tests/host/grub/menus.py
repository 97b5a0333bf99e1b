"""Configurations that GRUB takes, by chance: as grub-mkconfig writes them, with what people add to them.

A case is seeded by its number. Nothing here knows what GRUB makes of it: that is for GRUB to say.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from tests.host.grub.emulator import Case

from quietcore.host.grub.environment_block import SIGNATURE, changed, made

_LETTERS = "abcdefgxyz0189"
_SIGNS = "$\\\"';&|<>{}#*? a=,()[]!~"
_TITLES = (
    "Debian GNU/Linux",
    "Ubuntu, with Linux 6.8.0-40-generic",
    "a > b",
    "x>y",
    "1st choice",
    "2",
    "it's",
    'say "hi"',
    "with $dollar",
    "back\\slash",
    "  spaced  ",
    "Advanced options for Debian GNU/Linux",
    "0x1",
    "caf\xc3\xa9",
)
_HEAD = """\
if [ -s $prefix/grubenv ]; then
  set have_grubenv=true
  load_env
fi
"""
_CHOICE = """\
if [ "${next_entry}" ] ; then
   set default="${next_entry}"
   set next_entry=
   save_env next_entry
   set boot_once=true
else
   set default=%s
fi
"""
_IDENTIFIER = """\
if [ x"${feature_menuentry_id}" = xy ]; then
  menuentry_id_option="--id"
else
  menuentry_id_option=""
fi

export menuentry_id_option

if [ "${prev_saved_entry}" ]; then
  set saved_entry="${prev_saved_entry}"
  save_env saved_entry
  set prev_saved_entry=
  save_env prev_saved_entry
  set boot_once=true
fi

function savedefault {
  if [ -z "${boot_once}" ]; then
    saved_entry="${chosen}"
    save_env saved_entry
  fi
}
function load_video {
  if [ x$feature_all_video_module = xy ]; then
    insmod all_video
  else
    insmod efi_gop
    insmod efi_uga
  fi
}
"""
_CUSTOM = """\
if [ -f  ${config_directory}/custom.cfg ]; then
  source ${config_directory}/custom.cfg
elif [ -z "${config_directory}" -a -f  $prefix/custom.cfg ]; then
  source $prefix/custom.cfg
fi
"""


class Maker:
    """Makes one configuration."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.names = [f"v{index}" for index in range(self.random.randrange(1, 5))]
        self.titles: list[str] = []
        self.functions: list[str] = []
        self.depth = 0
        self.loops = 0

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def letters(self, least: int = 1) -> str:
        return "".join(self.random.choices(_LETTERS, k=self.random.randrange(least, 6)))

    def single(self, text: str) -> str:
        return "'" + text.replace("'", "'\\''") + "'"

    def quoted(self, text: str) -> str:
        """A text in one of the ways in which GRUB reads it as it is."""
        if self.chance(0.3) and all(letter not in text for letter in "\n"):
            return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$") + '"'
        return self.single(text)

    def variable(self) -> str:
        name = self.random.choice([*self.names, "nothing", "1", "2", "#", "@", "*", "v0"])
        return f"${{{name}}}" if self.chance(0.5) else f"${name}"

    def piece(self) -> str:
        kind = self.random.randrange(9)
        if kind < 3:
            return self.letters()
        if kind == 3:
            return "\\" + self.random.choice(_SIGNS.replace(" ", " b"))
        if kind == 4:
            text = "".join(
                self.random.choices(_SIGNS.replace("'", "") + _LETTERS, k=self.random.randrange(6))
            )
            return f"'{text}'"
        if kind == 5:
            inner = ""
            for _ in range(self.random.randrange(5)):
                inner += self.random.choice(
                    [
                        self.letters(),
                        " ",
                        "  ",
                        "\\$",
                        "\\\\",
                        '\\"',
                        "\\a",
                        "'",
                        ";",
                        "{",
                        "#",
                        self.variable(),
                        "\nn",
                    ]
                )
            return f'"{inner}"'
        if kind == 6:
            return self.variable()
        if kind == 7:
            return self.random.choice(["\\\nc", "=", ",", "-", ".", "#", "!", "~", "]"])
        return self.random.choice(["''", '""', "a''", '""b'])

    def word(self) -> str:
        """A word, or what comes to none or several; never a glob, since it begins with a letter or a quote."""
        if self.chance(0.08):
            return self.variable()
        if self.chance(0.05):
            return self.random.choice(["''", '""', f'"{self.variable()}"'])
        start = self.random.choice(["", self.letters(), self.letters() + "="])
        pieces = "".join(self.piece() for _ in range(self.random.randrange(1, 4)))
        word = start + pieces
        return word if word[:1] not in ("#", "", "]", "!", "-") else "w" + word

    def value(self) -> str:
        """The value of a variable: blanks at either end too."""
        return self.random.choice(
            [
                self.letters(),
                f"{self.letters()} {self.letters()}",
                f" {self.letters()}",
                f"{self.letters()}  ",
                f" {self.letters()}  {self.letters()} ",
                "",
                " ",
                "a\\b",
                "a\\$b",
                "q'q",
                'd"d',
                "$v0",
                "a;b",
                "k=v",
                "\ta",
                "1",
                "2",
                "0x10",
            ]
        )

    def operand(self) -> str:
        return self.random.choice(
            [f'"{self.variable()}"', self.letters(), f"x{self.variable()}", "2", "10", "-3", "''", '"$v0"']
        )

    def body(self, indent: str) -> str:
        return "\n".join(self.statement(indent) for _ in range(self.random.randrange(1, 3)))

    def test(self) -> str:
        term = self.random.choice
        kinds: list[Callable[[], str]] = [
            lambda: f"{self.operand()} {term(['=', '==', '!='])} {self.operand()}",
            lambda: f"{self.operand()} {term(['-eq', '-ne', '-lt', '-le', '-gt', '-ge'])} {self.operand()}",
            lambda: f"{self.operand()} {term(['-plt', '-pgt'])} {self.operand()}",
            lambda: f"{self.operand()} '{term(['<', '>', '<=', '>='])}' {self.operand()}",
            lambda: f"{term(['-n', '-z'])} {self.operand()}",
            lambda: (
                f"{term(['-f', '-e', '-d', '-s'])} $prefix/{term(['custom.cfg', 'empty', 'folder', 'none', 'grubenv'])}"
            ),
            self.operand,
        ]
        text = term(kinds)()
        while self.chance(0.35):
            text += f" {term(['-a', '-o', ''])} {term(['', '! '])}{term(kinds)()}"
        if self.chance(0.2):
            text = f"'(' {text} ')' {term(['-a', '-o'])} {term(kinds)()}"
        if self.chance(0.2):
            text = f"! {text}"
        return f"[ {text} ]" if self.chance(0.8) else f"test {text}"

    def condition(self) -> str:
        kind = self.random.randrange(8)
        if kind < 5:
            return ("! " if self.chance(0.15) else "") + self.test()
        if kind == 5:
            return self.random.choice(["true", "false", "! true", "! false"])
        if kind == 6:
            pattern = self.random.choice(["a", "^xa", "'b$'", "'a+b*'", "'(a|b)c'", "'[0-9]+'"])
            return f'regexp {pattern} "x{self.variable()}"'
        return f"{self.test()}; {self.test()}"

    def assignment(self) -> str:
        name = self.random.choice(self.names)
        kind = self.random.randrange(6)
        if kind == 0:
            return f"set {name}={self.word()}"
        if kind == 1:
            return f"{name}={self.word()}"
        if kind == 2:
            return f"set {name}={self.quoted(self.value())}"
        if kind == 3:
            return f"{name}={self.quoted(self.value())}"
        if kind == 4:
            return self.random.choice([f"unset {name}", f"export {name}", f"set {name}=", f"{name}="])
        return f'{name}="${{{name}}}{self.letters()}"'

    def statement(self, indent: str = "") -> str:
        self.depth += 1
        kind = self.random.randrange(14) if self.depth < 4 else 0
        name = self.random.choice(self.names)
        inner = indent + "  "
        if kind in (0, 1, 2, 3, 4):
            text = f"{indent}{self.assignment()}"
        elif kind in (5, 6, 7):
            text = f"{indent}if {self.condition()}; then\n{self.body(inner)}\n"
            if self.chance(0.3):
                text += f"{indent}elif {self.condition()} ; then\n{self.body(inner)}\n"
            if self.chance(0.5):
                text += f"{indent}else\n{self.body(inner)}\n"
            text += f"{indent}fi"
        elif kind == 8:
            words = " ".join(self.word() for _ in range(self.random.randrange(4)))
            leave = self.random.choice(["", "", f"{inner}if {self.test()}; then {self.leave()}; fi\n"])
            text = f'{indent}for {name} in {words}; do\n{self.body(inner)}\n{leave}{inner}v0="${{v0}}."\n{indent}done'
        elif kind == 9:
            self.loops += 1
            counter = f"zn{self.loops}"
            loop = self.random.choice(["while", "until"])
            sign = "!=" if loop == "while" else "="
            text = (
                f'{indent}{counter}=\n{indent}{loop} [ "${counter}" {sign} xxx ]; do\n{self.body(inner)}\n'
                f'{inner}{counter}="x${counter}"\n{indent}done'
            )
        elif kind == 10:
            text = f"{indent}echo {self.word()} # {self.random.choice(['note', chr(39) + 's', chr(34)])}"
        elif kind == 11 and self.functions:
            words = " ".join(self.word() for _ in range(self.random.randrange(4)))
            text = f"{indent}{self.random.choice(self.functions)} {words}"
        elif kind == 12:
            text = f'{indent}{self.test()}\n{indent}set {name}="r$?"'
        elif kind == 13:
            text = f"{indent}{self.assignment()}; {self.assignment()}"
        else:
            text = f"{indent}true"
        self.depth -= 1
        return text

    def leave(self) -> str:
        return self.random.choice(["break", "continue", "break 2", "continue 1", "break 1"])

    def function(self) -> str:
        name = f"f{len(self.functions)}"
        lines = [self.statement("  ") for _ in range(self.random.randrange(1, 3))]
        lines.append(f'  v0="{self.variable()}-{self.variable()}"')
        if self.chance(0.3):
            lines.insert(
                self.random.randrange(len(lines)),
                f"  if {self.test()}; then return{self.random.choice(['', ' 0', ' 1'])}; fi",
            )
        if self.chance(0.2):
            lines.insert(0, f"  {self.random.choice(['shift', 'setparams a ' + self.word()])}")
        text = f"function {name} {{\n" + "\n".join(lines) + "\n}"
        self.functions.append(name)
        return text

    def title(self) -> str:
        title = self.random.choice(_TITLES) if self.chance(0.8) else self.letters()
        return title if title not in self.titles or self.chance(0.1) else f"{title}{len(self.titles)}"

    def kernel(self) -> str:
        words = " ".join(self.word() for _ in range(self.random.randrange(8)))
        return f"{self.random.choice(['linux', 'linux', 'linux'])}\t/vmlinuz {words}"

    def entry(self, indent: str = "") -> str:
        title = self.title()
        self.titles.append(title)
        options = " --class debian --class gnu-linux" if self.chance(0.5) else ""
        if self.chance(0.6):
            identifier = self.random.choice(
                [f"gnulinux-simple-{self.letters()}", self.letters(), f"i>{self.letters()}", "3d"]
            )
            self.titles.append(identifier)
            option = self.random.choice(["$menuentry_id_option ", "--id ", "--id="])
            options += f" {option}{self.quoted(identifier)}"
        if self.chance(0.2):
            options += self.random.choice([" --unrestricted", " --hotkey=k", " --users ''", " more"])
        inner = indent + "\t"
        lines = [
            "load_video" if self.chance(0.6) else "",
            "insmod gzio" if self.chance(0.5) else "",
            "savedefault" if self.chance(0.2) else "",
            self.statement(inner).strip() if self.chance(0.5) else "",
            "search --no-floppy --fs-uuid --set=zroot 0000-1111" if self.chance(0.1) else "",
            "echo\t'Loading ...'" if self.chance(0.5) else "",
        ]
        lines = [line for line in lines if line]
        lines.append(self.kernel())
        if self.chance(0.15):
            lines.append(f"if {self.test()}; then\n{inner}  {self.kernel()}\n{inner}fi")
        lines.append(f"initrd\t/initrd{self.random.choice(['', ' /initrd', ' $nothing /initrd'])}")
        body = "\n".join(inner + line for line in lines)
        shown = self.quoted(title)
        return f"{indent}menuentry {shown}{options} {{\n{body}\n{indent}}}"

    def submenu(self, indent: str = "", level: int = 0) -> str:
        title = self.title()
        self.titles.append(title)
        option = ""
        if self.chance(0.6):
            identifier = f"adv{self.letters()}"
            self.titles.append(identifier)
            option = f" $menuentry_id_option '{identifier}'"
        inner = indent + "\t"
        lines = []
        if self.chance(0.3):
            lines.append(self.statement(inner))
        for _ in range(self.random.randrange(1, 4)):
            nested = level < 1 and self.chance(0.15)
            lines.append(self.submenu(inner, level + 1) if nested else self.entry(inner))
        return f"{indent}submenu {self.quoted(title)}{option} {{\n" + "\n".join(lines) + f"\n{indent}}}"

    def default(self) -> str:
        """What may stand in `default`: numbers, names, ways through submenus, nonsense."""
        steps = []
        for _ in range(self.random.choice([1, 1, 1, 2, 2, 3])):
            name = self.random.choice(self.titles) if self.titles else "0"
            steps.append(
                self.random.choice(
                    [
                        str(self.random.randrange(5)),
                        name.replace(">", ">>"),
                        name.replace(">", ">>"),
                        name,
                        self.random.choice(
                            ["99", "-1", "", "1 2", " 1", "gone", "0x1", "01", "08", "2nd", "4294967297"]
                        ),
                    ]
                )
            )
        return ">".join(steps)

    def block(self) -> str:
        values = []
        for name in ("saved_entry", "next_entry", "prev_saved_entry", "recordfail", *self.names):
            if self.chance(0.35 if name in ("saved_entry", "next_entry") else 0.12):
                values.append((name, self.default() if name.endswith("entry") else self.value()))
        self.random.shuffle(values)
        block = made(values)
        kind = self.random.randrange(20)
        if kind == 0:
            return SIGNATURE + block[len(SIGNATURE) :].rstrip("#")  # no filler, so no room
        if kind == 1:
            return "# GRUB environment block\n" + block[len(SIGNATURE) :]
        if kind == 2:
            used = len(block.rstrip("#"))
            return block[: used - 1] + "#" * (len(block) - used + 1)  # the last line is cut off
        if kind == 3:
            room = len(block) - len(block.rstrip("#"))
            return changed(block, "full", "f" * (room - 6)) if room > 6 else block
        return block

    def case(self) -> Case:
        """Make the whole case."""
        preamble = [self.statement() for _ in range(self.random.randrange(3))]
        functions = [self.function() for _ in range(self.random.randrange(2))]
        menu = [
            self.submenu() if self.chance(0.3) else self.entry() for _ in range(self.random.randrange(1, 5))
        ]
        custom = ""
        if self.chance(0.3):
            custom = "\n".join([self.statement(), *([self.entry()] if self.chance(0.5) else [])]) + "\n"
            if self.chance(0.4):
                custom += f"set default={self.quoted(self.default())}\n"
        default = '"${saved_entry}"' if self.chance(0.5) else self.quoted(self.default())
        late = f"set default={self.quoted(self.default())}" if self.chance(0.1) else ""
        sourcing = _CUSTOM if custom or self.chance(0.3) else ""
        middle = [*menu, *(self.statement() for _ in range(self.random.randrange(2)))]
        if self.chance(0.3):
            middle.insert(0, f"if {self.test()}; then\n{self.entry('  ')}\nelse\n{self.entry('  ')}\nfi")
        text = "\n".join(
            [
                "# It is automatically generated by grub-mkconfig",
                _HEAD if self.chance(0.95) else "",
                (_CHOICE % default) + _IDENTIFIER,
                *preamble,
                *functions,
                "set timeout=0",
                *middle,
                sourcing,
                late,
            ]
        )
        files = [("empty", ""), ("folder/file", "x"), ("vmlinuz", "kernel"), ("initrd", "initrd")]
        if custom:
            files.append(("custom.cfg", custom))
        return Case(text + "\n", tuple(files), self.block())


def case(seed: int) -> Case:
    """Return the case of a seed."""
    return Maker(seed).case()

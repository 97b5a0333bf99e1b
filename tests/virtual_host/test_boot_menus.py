"""Menus that GRUB really boots: the kernel's own command line is what the evaluator says it is.

Needs a host of its own: `quietcore vhost up --name NAME`, QUIETCORE_VHOST=NAME, pytest -m mutates_host. The same menus
are given to both; the evaluator reads them on this machine, from a tree that holds what the host's disk holds.
"""

from __future__ import annotations

import base64
import random
from pathlib import Path

import pytest
from tests.virtual_host.boots import reboot, wait_for_another_boot

from quietcore import vhost
from quietcore.host.grub import HostDisk, Machinery, bytes_of, evaluate
from quietcore.host.grub.environment_block import made
from quietcore.host.machine import Machine

pytestmark = [pytest.mark.mutates_host, pytest.mark.slow, pytest.mark.timeout(7200)]

MENU, BLOCK, CUSTOM = "/boot/grub/grub.cfg", "/boot/grub/grubenv", "/boot/grub/custom.cfg"
MENUS = 14
HEAD = """\
if [ -s $prefix/grubenv ]; then
  set have_grubenv=true
  load_env
fi
if [ "${next_entry}" ] ; then
   set default="${next_entry}"
   set next_entry=
   save_env next_entry
   set boot_once=true
else
   set default="${saved_entry}"
fi
if [ x"${feature_menuentry_id}" = xy ]; then
  menuentry_id_option="--id"
else
  menuentry_id_option=""
fi
export menuentry_id_option
function load_video {
  if [ x$feature_all_video_module = xy ]; then
    insmod all_video
  else
    insmod efi_gop
  fi
}
set plain=qc.plain
set spaced=" qc.one  qc.two "
set signs='qc.signs=a"b\\c;d&e'
export spaced
set timeout=0
"""
CUSTOM_PART = """\
if [ -f  ${config_directory}/custom.cfg ]; then
  source ${config_directory}/custom.cfg
elif [ -z "${config_directory}" -a -f  $prefix/custom.cfg ]; then
  source $prefix/custom.cfg
fi
"""
# Each is harmless to a booted system: every word of them begins with `qc.`, which is nobody's parameter.
WORDS = (
    "qc.memmap=64G\\$192G",
    'qc.osi="!Windows 2012"',
    "qc.single='with $spaced; and | more'",
    "qc.pci=disable_acs_redir=A\\;B",
    "$plain",
    "$spaced",
    '"$signs"',
    '"qc.in=${plain}x"',
    "qc.back=a\\\\b",
    "qc.quote=it\\'s",
    'qc.double=say\\"hi\\"',
    "qc.hash=a#b",
    "qc.brace='{}'",
    "$nothing",
    "qc.star=\\*",
    'qc.utf="café"',
    "qc.joined=a\\\nb",
)


def menu(chance: random.Random, kernel: str, initial: str, root: str) -> tuple[str, str, dict[str, str]]:
    """Return a menu that boots whatever its default is, a custom.cfg (empty: none), and the environment."""
    count = 0

    def entry(indent: str = "") -> tuple[str, list[str]]:
        nonlocal count
        count += 1
        title = chance.choice(["Debian", "with > sign", "it's", "2nd", "caf\u00e9"]) + f" {count}"
        identifier = chance.choice([f"simple-{count}", f"a>b-{count}", ""])
        option = f" $menuentry_id_option '{identifier}'" if identifier else ""
        shown = "'" + title.replace("'", "'\\''") + "'"
        words = " ".join(chance.sample(WORDS, k=chance.randrange(3, 9)))
        lines = [
            "load_video",
            f"if [ {chance.choice(['$plain', 'x$nothing', '-n'])} = qc.plain ]; then",
            "set extra=qc.yes; else set extra=qc.no; fi",
            f"linux\t{kernel} {root} {words} $extra qc.entry={count}",
            f"initrd\t{initial}",
        ]
        text = f"{indent}menuentry {shown} --class debian{option} {{\n"
        text += "".join(f"{indent}\t{line}\n" for line in lines) + f"{indent}}}\n"
        return text, [title.replace(">", ">>"), *([identifier.replace(">", ">>")] if identifier else [])]

    text, ways = HEAD, []
    for index in range(3):
        if index == 1:
            first, second = entry("\t"), entry("\t")
            text += (
                f"submenu 'Advanced options' $menuentry_id_option 'advanced' {{\n{first[0]}{second[0]}}}\n"
            )
            ways += [
                f"{name}>{inner}"
                for name in ("1", "advanced", "Advanced options")
                for inner in (*second[1], "1")
            ]
        else:
            part, names = entry()
            text += part
            ways += [*names, str(index)]
    custom = ""
    if chance.random() < 0.5:
        part, names = entry()
        custom = part + chance.choice(["", f"set default='{count - 1}'\n"])
        ways += [name for name in names if "'" not in name]
    text += CUSTOM_PART
    values = {"saved_entry": chance.choice([*ways, "99", "no such entry"])}
    if chance.random() < 0.5:
        values["next_entry"] = chance.choice(ways)
    return text, custom, values


@pytest.fixture(scope="module")
def host(booted_host: vhost.Info) -> vhost.Info:
    return booted_host


def put(host: vhost.Info, path: str, text: str) -> None:
    code = base64.b64encode(text.encode()).decode()
    host.exec(f"echo {code} | base64 -d > {path} && sync", timeout=100)


def test_the_kernel_gets_the_words_that_the_evaluator_says(host: vhost.Info, tmp_path: Path) -> None:
    names = host.exec(
        "cd /boot; ls vmlinuz-* initrd.img-*; cat /proc/cmdline", timeout=60
    ).stdout.splitlines()
    kernel = next(f"/boot/{name}" for name in names if name.startswith("vmlinuz-"))
    initial = next(f"/boot/{name}" for name in names if name.startswith("initrd.img-"))
    root = names[-1].partition(" ")[2]
    kept = host.exec(f"cat {MENU}", timeout=60).stdout
    try:
        for number in range(MENUS):
            chance = random.Random(f"booted menu {number}")
            text, custom, values = menu(chance, kernel, initial, root)
            block = made([(name, bytes_of(value)) for name, value in values.items()])
            tree = tmp_path / str(number)
            for path, content in ((kernel, "kernel"), (initial, "initial"), (MENU, text), (CUSTOM, custom)):
                if content:
                    (tree / path.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
                    (tree / path.lstrip("/")).write_text(content)
            (tree / BLOCK.lstrip("/")).write_bytes(block.encode("latin-1"))
            machine = Machine(tree)
            boot = evaluate(Machinery(MENU, bytes_of(text)), lambda machine=machine: HostDisk(machine)).boot  # type: ignore[misc]
            put(host, MENU, text)
            put(host, CUSTOM, custom) if custom else host.exec(f"rm -f {CUSTOM}", timeout=60)
            put(host, BLOCK, block.encode("latin-1").decode())
            line = wait_for_another_boot(host, reboot(host), seconds=1200)
            assert line == boot.line, f"menu {number}, {values}"
            left = host.exec(f"cat {BLOCK}", timeout=60).stdout
            expected = dict(boot.blocks).get(BLOCK, block)
            assert left == expected.encode("latin-1").decode(), f"menu {number}, {values}"
            print(f"menu {number}: entry {'>'.join(boot.path)} of {values}: {line}")
    finally:
        put(host, MENU, kept)
        host.exec(f"rm -f {CUSTOM}; grub-editenv {BLOCK} create", timeout=60)

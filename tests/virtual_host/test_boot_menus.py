"""Menus that GRUB really boots: the kernel's own command line is what the evaluator says it is.

GRUB, firmware and kernel are the virtual host's; instead of its user land stands one program that prints
/proc/cmdline, so that a menu takes seconds. The disk is a FAT image: GRUB writes its environment there.
"""

from __future__ import annotations

import random
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from quietcore import vhost
from quietcore.host.grub import HostDisk, Machinery, bytes_of, evaluate
from quietcore.host.grub.environment_block import made
from quietcore.host.machine import Machine
from quietcore.vhost.machine import QEMU, find_firmware

# Not among `make test`: fourteen boots, a minute each where the machine is crowded.
pytestmark = [pytest.mark.mutates_host, pytest.mark.slow, pytest.mark.timeout(3600)]

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


KERNEL, INITIAL, ROOT = (
    "/boot/vmlinuz-6.1",
    "/boot/initrd-6.1",
    "root=/dev/ram0 console=ttyS0,115200 no_timer_check",
)
FIRST = """\
search --no-floppy --file --set=root /boot/vmlinuz-6.1
set prefix=($root)/boot/grub
configfile $prefix/grub.cfg
"""
MODULES = (
    "fat search search_fs_file normal linux configfile test loadenv echo gzio all_video true sleep regexp"
)
PROGRAM = """\
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <unistd.h>
int main(void) {
    unsigned char text[4096];
    mkdir("/proc", 0755);
    mount("proc", "/proc", "proc", 0, 0);
    const int file = open("/proc/cmdline", O_RDONLY);
    const long size = read(file, text, sizeof text);
    printf("\\nCMDLINE ");
    for (long i = 0; i < size; i++) printf("%02x", text[i]);
    printf(" END\\n");
    fflush(stdout);
    reboot(RB_POWER_OFF);
    return 0;
}
"""
SECONDS = 900.0  # for one boot on a crowded machine; an idle one takes about ten


def run(*command: str, given: bytes | None = None) -> bytes:
    """Run a program of the controller; the test fails where it does."""
    done = subprocess.run(command, input=given, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout


def archive(program: bytes) -> bytes:
    """Return an initial RAM disk (cpio, "newc") with `/init` alone."""
    found = b""
    for name, mode, content in ((b"init", 0o100755, program), (b"TRAILER!!!", 0, b"")):
        numbers = [1, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0]
        head = b"070701" + b"".join(b"%08x" % number for number in numbers) + name + b"\0"
        head += b"\0" * (-len(head) % 4)
        found += head + content + b"\0" * (-len(content) % 4)
    return found


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A disk that UEFI boots: GRUB, the kernel, an initial RAM disk; no menu yet."""
    if shutil.which("cc") is None or shutil.which("mcopy") is None:
        pytest.skip("a C compiler and mtools are needed: ansible/controller/setup.py names the packages")
    folder = tmp_path_factory.mktemp("menus")
    (folder / "init.c").write_text(PROGRAM)
    run("cc", "-static", "-Os", "-s", "-o", str(folder / "init"), str(folder / "init.c"))
    (folder / "initrd").write_bytes(archive((folder / "init").read_bytes()))
    (folder / "first.cfg").write_text(FIRST)
    loader = str(folder / "BOOTX64.EFI")
    run(
        *("grub-mkstandalone", "-O", "x86_64-efi", "-o", loader, "--locales=", "--fonts=", "--themes="),
        *(
            f"--modules={MODULES}",
            f"--install-modules={MODULES}",
            f"boot/grub/grub.cfg={folder / 'first.cfg'}",
        ),
    )
    image = folder / "disk.img"
    with image.open("wb") as file:
        file.truncate(64 << 20)
    run("mformat", "-i", str(image), "-F", "::")
    run("mmd", "-i", str(image), "::/EFI", "::/EFI/BOOT", "::/boot", "::/boot/grub")
    kernel = vhost.build().kernel
    for source, target in ((loader, "/EFI/BOOT/BOOTX64.EFI"), (kernel, KERNEL), (folder / "initrd", INITIAL)):
        run("mcopy", "-i", str(image), str(source), f"::{target}")
    return image


def put(image: Path, path: str, content: bytes) -> None:
    run("mcopy", "-o", "-i", str(image), "-", f"::{path}", given=content)


def booted(image: Path) -> str:
    """Boot the disk once and return the kernel's command line."""
    firmware = find_firmware()
    console, said = image.with_name("console"), ""
    console.unlink(missing_ok=True)
    command = [
        *(shutil.which(QEMU) or QEMU, "-nodefaults", "-no-user-config", "-machine", "q35", "-m", "512"),
        *("-accel", "tcg,thread=single", "-cpu", "max,-la57,-svm", "-display", "none", "-no-reboot"),
        *("-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={firmware.code}"),
        *("-drive", f"if=pflash,unit=1,format=raw,snapshot=on,file={firmware.variables}"),
        *("-drive", f"if=virtio,format=raw,cache=unsafe,file={image}", "-serial", f"file:{console}"),
    ]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            ended = process.poll() is not None
            said = console.read_bytes().decode(errors="replace") if console.exists() else ""
            match = re.search(r"CMDLINE ([0-9a-f]+) END", said)
            if match is not None:
                # The machine goes down by itself, so that what GRUB wrote is on the disk.
                process.wait(timeout=60)
                return bytes.fromhex(match[1]).decode(errors="surrogateescape").rstrip("\n")
            assert not ended, f"no command line: {said[-2000:]}"
            time.sleep(0.2)
        raise AssertionError(f"no command line within {SECONDS:.0f} s: {said[-2000:]}")
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("number", range(MENUS))
def test_the_kernel_gets_the_words_that_the_evaluator_says(disk: Path, tmp_path: Path, number: int) -> None:
    chance = random.Random(f"booted menu {number}")
    text, custom, values = menu(chance, KERNEL, INITIAL, ROOT)
    block = made([(name, bytes_of(value)) for name, value in values.items()])
    configured = ((MENU, text.encode()), (CUSTOM, custom.encode()))
    for path, content in ((KERNEL, b"kernel"), (INITIAL, b"initial"), *configured):
        if content:
            (tmp_path / path.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path.lstrip("/")).write_bytes(content)
    (tmp_path / BLOCK.lstrip("/")).write_bytes(block.encode("latin-1"))
    machine = Machine(tmp_path)
    boot = evaluate(Machinery(MENU, bytes_of(text)), lambda: HostDisk(machine)).boot
    image = tmp_path / "disk.img"
    shutil.copyfile(disk, image)
    for path, content in (*configured, (BLOCK, block.encode("latin-1"))):
        if content:
            put(image, path, content)
    assert booted(image) == boot.line, values
    left = run("mtype", "-i", str(image), f"::{BLOCK}").decode("latin-1")
    assert left == dict(boot.blocks).get(BLOCK, block), values
    print(f"menu {number}: {values} boots {'>'.join(boot.path)}: {boot.line}")

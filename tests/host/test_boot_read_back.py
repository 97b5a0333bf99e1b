"""The menu is read back before anything is armed: which entry boots, its words, and what the boot after it is."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from tests.host.fake_host import FakeHost
from tests.host.promises import BOOT, setting
from tests.host.test_boot_trial import menu, verdict, where

from quietcore.errors import QuietcoreError
from quietcore.host import boot_loader
from quietcore.host.boot_confirm import retry
from quietcore.host.boot_menu import BLOCK
from quietcore.host.boot_trial import CANDIDATE, GOOD, SCRIPT, STATE, Stage, load_trial
from quietcore.host.converge import promise, revert
from quietcore.host.findings import Verdict
from quietcore.host.grub.environment_block import made

LATER = "/etc/default/grub.d/zzz-later.cfg"
TWO_KERNELS = """\
menuentry 'Debian' --class debian $menuentry_id_option 'simple' {
\tlinux\t/boot/vmlinuz-new root=UUID=1 ro @WORDS@
\tinitrd\t/boot/initrd-new
}
submenu 'Advanced options' $menuentry_id_option 'adv' {
\tmenuentry 'Debian, new' $menuentry_id_option 'ker-new' {
\t\tlinux\t/boot/vmlinuz-new root=UUID=1 ro @WORDS@
\t\tinitrd\t/boot/initrd-new
\t}
\tmenuentry 'Debian, old' $menuentry_id_option 'ker-old' {
\t\tload_something
\t\tlinux\t/boot/vmlinuz root=UUID=1 ro @WORDS@
\t\tinitrd\t/boot/initrd.img
\t}
}
"""


class Distribution(FakeHost):
    """A host whose grub-mkconfig marks the parts of its menu, and whose scripts a test may change."""

    def __init__(self, root: Path) -> None:
        self.tail = ""  # what a script at the end writes
        self.read_drop_ins = True
        self.body = ""  # entries instead of the simple one, `@WORDS@` in them
        self.linux_words = ""  # further words of the simple entry, as they stand in the menu
        super().__init__(root)

    def update_grub(self, path: str = "/boot/grub/grub.cfg") -> None:
        script = ". ./etc/default/grub; "
        if self.read_drop_ins:
            script += "for f in ./etc/default/grub.d/*.cfg; do . $f; done; "
        line = self._sh(script + 'echo "$GRUB_CMDLINE_LINUX|$GRUB_CMDLINE_LINUX_DEFAULT|$GRUB_DEFAULT"')
        always, normal, default = line.strip().split("|")
        super().update_grub(path)
        text = self.get(path)
        value = "${saved_entry}" if default == "saved" else default
        text = re.sub(r'   set default="(?!\$\{next_entry).*"', lambda _: f'   set default="{value}"', text)
        head, _, entries = text.partition("menuentry 'Debian'")
        entries = f"menuentry 'Debian'{entries}"
        simple, ours = entries.partition("menuentry 'Quietcore")[::2]
        words = f"{always} {normal}".strip()
        if self.body:
            simple = self.body.replace("@WORDS@", words)
        else:
            simple = re.sub(
                r"(ro )[^\n]*", lambda found: f"{found[1]}{self.linux_words} {words}", simple, count=1
            )
        ours = f"menuentry 'Quietcore{ours}" if ours else ""
        self.put(
            path,
            f"### BEGIN /etc/grub.d/00_header ###\n{head}### END /etc/grub.d/00_header ###\n\n"
            f"### BEGIN /etc/grub.d/10_linux ###\nfunction load_something {{\n  insmod gzio\n}}\n{simple}"
            f"### END /etc/grub.d/10_linux ###\n\n"
            "### BEGIN /etc/grub.d/41_custom ###\nif [ -f  ${config_directory}/custom.cfg ]; then\n"
            "  source ${config_directory}/custom.cfg\nfi\n### END /etc/grub.d/41_custom ###\n\n"
            f"### BEGIN {SCRIPT} ###\n{ours}\n### END {SCRIPT} ###\n\n"
            f"### BEGIN /etc/grub.d/95_last ###\n{self.tail}\n### END /etc/grub.d/95_last ###\n",
        )


@pytest.fixture
def host(tmp_path: Path) -> Distribution:
    return Distribution(tmp_path / "root")


def as_before(host: FakeHost, before: dict[str, str]) -> None:
    """Everything of the host's is as it was: files, menu, GRUB's environment; nothing is on trial."""
    assert host.files() == before
    assert where(host) is Stage.NONE
    assert not (host.root / STATE.lstrip("/")).exists()


def later_drop_in(host: Distribution) -> None:
    host.put(LATER, "# by hand\nGRUB_DEFAULT=0\n")


def end_of_the_menu(host: Distribution) -> None:
    host.tail = 'set default="0"'


def custom_file(host: Distribution) -> None:
    host.put("/boot/grub/custom.cfg", "# by hand\nset default=0\n")


def folder_ignored(host: Distribution) -> None:
    host.read_drop_ins = False
    host.put("/usr/sbin/grub-mkconfig", "#!/bin/sh\n. /etc/default/grub\n")


def variable_set_again(host: Distribution) -> None:
    host.put(LATER, 'GRUB_CMDLINE_LINUX_DEFAULT="quiet"\n')


def saved_before(host: Distribution) -> None:
    host.put(BLOCK, made([("prev_saved_entry", "simple")]))
    host.tail = (
        'if [ "${prev_saved_entry}" ]; then\n  set saved_entry="${prev_saved_entry}"\n  save_env saved_entry\n'
        "  set prev_saved_entry=\n  save_env prev_saved_entry\n  set boot_once=true\nfi"
    )


def never_saved(host: Distribution) -> None:
    host.tail = "set next_entry=quietcore-candidate\nsave_env next_entry"


def password(host: Distribution) -> None:
    host.tail = "set superusers=root"


SHAPES = {
    later_drop_in: r"zzz-later\.cfg: line 2 sets GRUB_DEFAULT=0 after",
    end_of_the_menu: r"/etc/grub\.d/95_last sets default=0",
    custom_file: r"/boot/grub/custom\.cfg: line 2 sets default=0",
    folder_ignored: r"/usr/sbin/grub-mkconfig does not read /etc/default/grub\.d",
    variable_set_again: r"zzz-later\.cfg: line 1 sets GRUB_CMDLINE_LINUX_DEFAULT=",
    saved_before: r"sets saved_entry to 'simple', by prev_saved_entry",
    never_saved: "is on trial again: GRUB does not clear next_entry",
    password: r"an entry that asks for a password",
}


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
def test_a_menu_that_would_not_fall_back_is_refused_and_what_was_there_is_back(
    host: Distribution, shape: Callable[[Distribution], None]
) -> None:
    shape(host)
    host.update_grub()
    before = host.files()
    with pytest.raises(QuietcoreError, match=SHAPES[shape]):
        promise(host.machine(), "boot_params", BOOT)
    as_before(host, before)
    # The same again: refused each time, never called older than the files.
    with pytest.raises(QuietcoreError, match=SHAPES[shape]):
        promise(host.machine(), "boot_params", BOOT)
    as_before(host, before)
    if shape is not never_saved:
        assert "isolcpus" not in host.choose()


def test_what_an_earlier_role_wrote_for_a_later_menu_goes_back_too(host: Distribution) -> None:
    """Huge pages leave the menu to the boot parameters: refused there, no file waits for the next update-grub."""
    later_drop_in(host)
    host.update_grub()
    before = host.files()
    pages = [setting("pages.count", "kernel_parameter", "hugepages", "64")]
    promise(host.machine(), "huge_pages", pages, menu_later=True)
    assert "hugepages=64" in host.get(boot_loader.DROP_IN)
    with pytest.raises(QuietcoreError, match="zzz-later"):
        promise(host.machine(), "boot_params", BOOT)
    as_before(host, before)
    host.update_grub()
    assert "hugepages=64" not in host.choose()


def test_after_a_refused_change_the_confirmed_parameters_stay(host: Distribution) -> None:
    promise(host.machine(), "boot_params", BOOT)
    host.boot()
    assert where(host) is Stage.CONFIRMED
    later_drop_in(host)
    before, state = host.files(), host.get(STATE)
    with pytest.raises(QuietcoreError, match="zzz-later"):
        promise(host.machine(), "boot_params", [item for item in BOOT if item["name"] != "skew_tick"])
    assert host.files() == before
    assert host.get(STATE) == state
    assert where(host) is Stage.CONFIRMED


def test_once_the_file_at_fault_is_mended_the_trial_runs(host: Distribution) -> None:
    later_drop_in(host)
    host.update_grub()
    with pytest.raises(QuietcoreError):
        promise(host.machine(), "boot_params", BOOT)
    host.drop(LATER)
    host.update_grub()
    assert not promise(host.machine(), "boot_params", BOOT).failures
    host.boot()
    assert where(host) is Stage.CONFIRMED
    assert not revert(host.machine()).failures


def test_new_parameters_without_the_mark_are_not_confirmed(host: Distribution) -> None:
    """GRUB boots them by its default after a panic: another file was changed once the trial was armed."""
    promise(host.machine(), "boot_params", BOOT)
    later_drop_in(host)
    host.update_grub()
    host.run(["grub-editenv", str(host.root / "boot/grub/grubenv"), "unset", "next_entry"])  # the panic
    host.boot("/boot/vmlinuz " + " ".join(menu(host)["simple"].words))
    assert "isolcpus" in host.get("/proc/cmdline")
    assert where(host) is Stage.FELL_BACK
    found, cause = verdict(host)
    assert found is Verdict.DRIFT
    assert "by another entry than the trial's" in cause


def test_retry_reads_the_menu_back_too(host: Distribution) -> None:
    promise(host.machine(), "boot_params", BOOT)
    host.sshd_says = "no"
    host.boot()
    assert where(host) is Stage.FELL_BACK
    end_of_the_menu(host)
    host.update_grub()
    with pytest.raises(QuietcoreError, match="95_last sets default=0"):
        retry(host.machine())
    assert "next_entry" not in host.environment()


def test_a_full_environment_is_refused(host: Distribution) -> None:
    host.put(BLOCK, made([("full", "f" * 990)]))
    host.update_grub()
    with pytest.raises(QuietcoreError, match="no room"):
        promise(host.machine(), "boot_params", BOOT)


def test_a_line_that_is_too_long_is_refused(host: Distribution) -> None:
    host.put(
        "/etc/default/grub", host.get("/etc/default/grub") + f'\nGRUB_CMDLINE_LINUX="{"a.b=1 " * 320}"\n'
    )
    host.put("/etc/default/grub.d/50-cloudimg-settings.cfg", "")
    host.update_grub()
    before = host.files()
    with pytest.raises(QuietcoreError, match="the end is cut off"):
        promise(host.machine(), "boot_params", BOOT)
    as_before(host, before)


def test_a_check_that_is_not_installed_is_said(host: Distribution) -> None:
    outcome = promise(host.machine(), "boot_params", BOOT)
    assert any("grub-script-check is not installed" in note for note in outcome.notes)
    again = Distribution(host.root.parent / "other")
    again.put("/usr/bin/grub-script-check", "")
    again.programs["grub-script-check"] = lambda words: subprocess.CompletedProcess(words, 0, "", "")
    assert not any(
        "grub-script-check" in note for note in promise(again.machine(), "boot_params", BOOT).notes
    )


# --- the words of the frozen entries ---------------------------------------------------------------------------------

ODD = {
    "memmap=64G\\$192G": "memmap=64G$192G",
    'acpi_osi="!Windows 2012"': "acpi_osi=!Windows 2012",
    "systemd.setenv='A=b c'": "systemd.setenv=A=b c",
    "x.y=a\\;b": "x.y=a;b",
    "x.q=it\\'s": "x.q=it's",
    'x.d=say\\"hi\\"': 'x.d=say"hi"',
    "x.b=a\\\\b": "x.b=a\\b",
    "x.e='{#|&}'": "x.e={#|&}",
}


def as_grub(host: FakeHost, entry: str) -> str:
    """Boot an entry as GRUB would; returns the kernel's own command line."""
    boot = menu(host)[entry]
    host.boot("/boot/vmlinuz " + boot.line.partition(" ")[2])
    return host.get("/proc/cmdline")


@pytest.mark.parametrize("written", ODD)
def test_words_with_grubs_escapes_reach_both_entries_as_they_are(host: Distribution, written: str) -> None:
    host.linux_words = written
    host.update_grub()
    before = as_grub(host, "simple").split(" ", 1)[1]
    promise(host.machine(), "boot_params", BOOT)
    entries = menu(host)
    assert ODD[written] in entries[GOOD].words
    assert ODD[written] in entries[CANDIDATE].words
    assert entries[GOOD].line.split(" ", 1)[1] == before
    assert where(host) is Stage.ARMED


def test_words_for_init_stay_behind_the_dashes(host: Distribution) -> None:
    host.linux_words = "quiet -- verbose"
    host.update_grub()
    as_grub(host, "simple")
    with pytest.raises(QuietcoreError, match="isolcpus"):
        promise(
            host.machine(), "boot_params", BOOT
        )  # what follows `--` is not the kernel's, ours would stand there


def test_a_word_with_a_semicolon_is_quoted_wherever_it_is_written(host: Distribution) -> None:
    word = "pci=disable_acs_redir=A;B"
    wanted = [*BOOT, setting("boot.pci", "kernel_parameter", "pci", "disable_acs_redir=A;B")]
    assert not promise(host.machine(), "boot_params", wanted).failures
    assert f"'{word}'" in host.get(boot_loader.DROP_IN)
    entries = menu(host)
    assert word in entries[CANDIDATE].words
    assert word in entries["simple"].words, "what the boots after the trial get"
    as_grub(host, CANDIDATE)
    assert where(host) is Stage.CONFIRMED
    as_grub(host, "simple")
    assert not promise(host.machine(), "boot_params", wanted).changed
    fewer = promise(host.machine(), "boot_params", BOOT)
    assert not fewer.failures
    assert word not in menu(host)[CANDIDATE].words


@pytest.mark.parametrize(
    "value",
    ["A&B", "A|B", "A<B", "A>B", "A\nB", "A B", "a'b", 'a"b', "a$b", "a\\b", "a`b", "a*", "a{b}", "a#b"],
)
def test_values_that_are_signs_for_the_shell_or_grub_are_refused(host: Distribution, value: str) -> None:
    before = host.files()
    with pytest.raises(QuietcoreError, match="not a kernel parameter"):
        promise(host.machine(), "boot_params", [setting("boot.pci", "kernel_parameter", "pci", value)])
    assert host.files() == before


# --- other values that are configured already ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "text", "named"),
    [
        (
            "/etc/default/grub",
            'GRUB_DEFAULT=0\nGRUB_CMDLINE_LINUX="isolcpus=4,5"\nGRUB_CMDLINE_LINUX_DEFAULT="quiet"\n',
            "/etc/default/grub: line 2",
        ),
        (
            "/etc/default/grub",
            'GRUB_DEFAULT=0\nGRUB_CMDLINE_LINUX=""\nGRUB_CMDLINE_LINUX_DEFAULT="quiet nohz_full=1"\n',
            "/etc/default/grub: line 3",
        ),
        (
            "/etc/default/grub.d/99-mine.cfg",
            'GRUB_CMDLINE_LINUX_DEFAULT="$GRUB_CMDLINE_LINUX_DEFAULT skew_tick=0"\n',
            "/etc/default/grub.d/99-mine.cfg: line 1",
        ),
    ],
)
def test_another_value_is_refused_with_file_and_line(
    host: Distribution, file: str, text: str, named: str
) -> None:
    host.put(file, text)
    if file != "/etc/default/grub":
        assert "GRUB_CMDLINE_LINUX_DEFAULT" in host.get("/etc/default/grub")
    host.put("/etc/default/grub.d/50-cloudimg-settings.cfg", "")
    host.update_grub()
    before = host.files()
    with pytest.raises(QuietcoreError, match=f"another value of a kernel parameter.*{re.escape(named)}"):
        promise(host.machine(), "boot_params", BOOT)
    as_before(host, before)


def test_a_value_by_a_variable_of_the_menu_is_named_by_its_script(host: Distribution) -> None:
    """TuneD on Debian: `\\$tuned_params` in a drop-in, and a script that sets it."""
    host.put(LATER, 'GRUB_CMDLINE_LINUX_DEFAULT="$GRUB_CMDLINE_LINUX_DEFAULT \\$tuned_params"\n')
    host.body = "set tuned_params='isolcpus=1 x.y=z'\n" + TWO_KERNELS.replace(
        "vmlinuz-new", "vmlinuz"
    ).replace("initrd-new", "initrd.img")
    host.update_grub()
    with pytest.raises(
        QuietcoreError,
        match=r"another value.*grub.cfg: line \d+, written by /etc/grub.d/10_linux; found isolcpus=1",
    ):
        promise(host.machine(), "boot_params", BOOT)


def test_the_same_value_and_repeatable_parameters_are_no_conflict(host: Distribution) -> None:
    host.put(
        "/etc/default/grub",
        'GRUB_DEFAULT=0\nGRUB_CMDLINE_LINUX_DEFAULT="quiet hugepagesz=1G hugepages=2 earlycon skew_tick=1"\n',
    )
    host.update_grub()
    host.boot()
    wanted = [
        *BOOT,
        setting("pages.size", "kernel_parameter", "hugepagesz", "2M"),
        setting("pages.count", "kernel_parameter", "hugepages", "64"),
        setting("boot.console", "kernel_parameter", "console", "ttyS1"),
    ]
    assert not promise(host.machine(), "boot_params", wanted).failures
    host.boot()
    assert where(host) is Stage.CONFIRMED
    host.boot()
    outcome = promise(host.machine(), "boot_params", wanted)
    assert not outcome.changed
    assert not outcome.failures, "another hugepages= and another console= are no drift"


# --- the default entry, wherever it stands ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "default",
    ["1>1", "adv>ker-old", "Advanced options>Debian, old", "adv>Debian, old", "1>ker-old", "1 by hand>1"],
)
@pytest.mark.parametrize("saved", [False, True])
def test_the_candidate_boots_the_kernel_that_the_default_names(
    host: Distribution, default: str, saved: bool
) -> None:
    """The newest kernel is the menu's first entry, the default is an older one in a submenu."""
    for path in ("/boot/vmlinuz-new", "/boot/initrd-new"):
        host.put(path, "new\n")
    host.body = TWO_KERNELS
    wanted = "saved" if saved else f'"{default}"'
    host.put("/etc/default/grub", f'GRUB_DEFAULT={wanted}\nGRUB_CMDLINE_LINUX_DEFAULT="quiet"\n')
    if saved:
        host.put(BLOCK, made([("saved_entry", default)]))
    host.update_grub()
    assert not promise(host.machine(), "boot_params", BOOT).failures
    entries = menu(host)
    assert (entries[CANDIDATE].kernel, entries[CANDIDATE].initial) == ("/boot/vmlinuz", ("/boot/initrd.img",))
    assert (entries[GOOD].kernel, entries[GOOD].initial) == ("/boot/vmlinuz", ("/boot/initrd.img",))
    trial = load_trial(host.machine())
    assert trial is not None
    assert trial.default == default
    assert boot_loader.menu_is_current(host.machine(), trial.words, ())


def test_a_newer_kernel_that_is_the_default_is_the_candidates(host: Distribution) -> None:
    for path in ("/boot/vmlinuz-new", "/boot/initrd-new"):
        host.put(path, "new\n")
    host.body = TWO_KERNELS
    host.update_grub()
    assert not promise(host.machine(), "boot_params", BOOT).failures
    entries = menu(host)
    assert entries[CANDIDATE].kernel == "/boot/vmlinuz-new"
    assert entries[GOOD].kernel == "/boot/vmlinuz", "the one that runs"


def commands(calls: Sequence[tuple[str, ...]], name: str) -> int:
    """How often a program was run."""
    return sum(call[0] == name for call in calls)


def test_a_missing_initial_ram_disk_is_refused(host: Distribution) -> None:
    host.drop("/boot/initrd.img")
    before = host.files()
    with pytest.raises(QuietcoreError):
        promise(host.machine(), "boot_params", BOOT)
    as_before(host, before)
    assert commands(host.calls, "grub-mkconfig") <= 1

"""needrestart, unattended-upgrades, timers and logrotate: what their own programs make of their files."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from tests.host.fake_card import answer
from tests.host.fake_host import FakeHost
from tests.host.promises import Setting, setting

from quietcore.errors import QuietcoreError
from quietcore.host.audit import audit
from quietcore.host.converge import promise, revert
from quietcore.host.findings import Finding, Verdict
from quietcore.host.kinds.upkeep import NEEDRESTART

UNITS = ["quietcore-feed@any.service", "quietcore-runtime.service"]
FILE = "/etc/needrestart/conf.d/zz-quietcore.conf"
UPGRADES = "/usr/bin/unattended-upgrade"
NEED = [
    setting(
        "d.file", "drop_in", FILE, "$nrconf{override_rc}{qr(^quietcore)} = 0;\n", options={"of": NEEDRESTART}
    ),
    setting("d.need", "needrestart", "override_rc", UNITS),
]
REBOOT = setting(
    "d.reboot", "apt_option", "Unattended-Upgrade::Automatic-Reboot", "false", options={"of": UPGRADES}
)
BLOCKED = setting(
    "d.blocked",
    "apt_option",
    "Unattended-Upgrade::Package-Blacklist",
    ["linux-image"],
    options={"of": UPGRADES},
)
TIMERS = setting("d.timers", "timers", "all", "0-2")
LOGS = setting("d.logs", "unnamed", "/etc/logrotate.d", "quietcore")
# As the distribution's: it reads conf.d itself, and has overrides of its own.
CONF = """$nrconf{override_rc} = { qr(^dbus) => 0, };
if (-d q(@ROOT@/etc/needrestart/conf.d)) {
  foreach my $fn (sort </@ROOT@/etc/needrestart/conf.d/*.conf>) { eval { do $fn } }
}
1;
"""


def found(host: FakeHost, name: str) -> Finding:
    return next(finding for finding in audit(host.machine()) if finding.id == name)


@pytest.fixture
def needrestart(host: FakeHost) -> FakeHost:
    """needrestart's files, read by the real Perl."""
    if shutil.which("perl") is None:
        pytest.skip("there is no perl here")
    host.put(NEEDRESTART, CONF.replace("@ROOT@", str(host.root)))
    host.put("/etc/needrestart/conf.d/README", "")

    def perl(words: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
        below = [str(host.root) + word if word == NEEDRESTART else word for word in words]
        return subprocess.run(below, capture_output=True, text=True, check=False)

    host.programs["perl"] = perl
    return host


def test_needrestart_leaves_the_units_alone(needrestart: FakeHost) -> None:
    assert not promise(needrestart.machine(), "daily_life", NEED).failures
    assert found(needrestart, "d.need").verdict is Verdict.OK
    assert not promise(needrestart.machine(), "daily_life", NEED).changed
    revert(needrestart.machine())
    assert not (needrestart.root / FILE.lstrip("/")).exists()


@pytest.mark.parametrize(
    ("text", "verdict", "shown"),
    [
        (None, Verdict.MISSING, "quietcore-feed@any.service: none, quietcore-runtime.service: none"),
        (
            "$nrconf{override_rc}{qr(^quietcore-run)} = 1;\n",
            Verdict.OVERRIDDEN,
            "quietcore-runtime.service: ",
        ),
        ("this is no perl ]\n", Verdict.MISSING, "none"),
    ],
)
def test_needrestart_that_would_restart_is_found(
    needrestart: FakeHost, text: str | None, verdict: Verdict, shown: str
) -> None:
    promise(needrestart.machine(), "daily_life", NEED)
    if text is None or "no perl" in text:
        needrestart.put(FILE, text or "")
    else:
        needrestart.put("/etc/needrestart/conf.d/zzz.conf", text)
    finding = found(needrestart, "d.need")
    assert (finding.verdict, shown in finding.found) == (verdict, True)


def test_needrestart_that_cannot_be_read_never_passes(needrestart: FakeHost) -> None:
    promise(needrestart.machine(), "daily_life", NEED)
    needrestart.put(NEEDRESTART, "die 'broken';\n")
    finding = found(needrestart, "d.need")
    assert (finding.readable, "broken" in finding.cause) == (False, True)


def test_what_is_not_installed_gets_no_file(host: FakeHost) -> None:
    assert not promise(host.machine(), "daily_life", [*NEED, REBOOT]).failures
    assert not (host.root / "etc/needrestart").exists()
    assert found(host, "d.file").found == "not installed"
    assert found(host, "d.reboot").found == "not installed"
    host.put(NEEDRESTART, "1;\n")
    assert found(host, "d.file").verdict is Verdict.MISSING


@pytest.mark.parametrize(
    ("wanted", "out", "verdict"),
    [
        (REBOOT, "false\n", Verdict.OK),
        (REBOOT, "true\n", Verdict.OVERRIDDEN),
        (REBOOT, "", Verdict.MISSING),
        (BLOCKED, "vim\nlinux-image\n", Verdict.OK),
        (BLOCKED, "vim\n", Verdict.OVERRIDDEN),
    ],
)
def test_apt_is_asked_what_it_reads(host: FakeHost, wanted: Setting, out: str, verdict: Verdict) -> None:
    host.put(UPGRADES, "")
    host.programs["apt-config"] = lambda words: answer(0, out)
    promise(host.machine(), "daily_life", [wanted])
    assert found(host, str(wanted["id"])).verdict is verdict


def test_apt_that_does_not_answer_never_passes(host: FakeHost) -> None:
    host.put(UPGRADES, "")
    promise(host.machine(), "daily_life", [REBOOT])
    assert not found(host, "d.reboot").readable


def timers(services: dict[str, str], code: int = 0) -> Callable[[tuple[str, ...]], Any]:
    def systemctl(words: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
        if "*.timer" in words:
            blocks = [f"Id={name[:-8]}.timer\nTriggers={name}\n" for name in services]
        else:
            blocks = [f"Id={name}\nCPUAffinity={services[name]}\n" for name in words if name in services]
        return answer(code, "\n".join(blocks), "Connection refused" if code else "")

    return systemctl


def test_timers_inherit_where_systemd_is(host: FakeHost) -> None:
    host.process(1, "systemd", "/init.scope", "0-1")
    host.programs["systemctl"] = timers({"fstrim.service": "", "apt-daily.service": "0 1"})
    assert not promise(host.machine(), "daily_life", [TIMERS]).failures
    assert found(host, "d.timers").found == "all of 2 services"
    host.programs["systemctl"] = timers({"fstrim.service": "", "apt-daily.service": "2 4"})
    finding = found(host, "d.timers")
    assert (finding.verdict, finding.found) == (Verdict.DRIFT, "apt-daily.service on 2,4")
    host.process(1, "systemd", "/init.scope", "0-5")
    host.programs["systemctl"] = timers({"fstrim.service": "", "apt-daily.service": "0"})
    finding = found(host, "d.timers")
    assert (finding.verdict, finding.found) == (Verdict.DRIFT, "1 others on 0-5")
    assert finding.remedy == "run the role isolation again"
    host.programs["systemctl"] = timers({}, code=1)
    assert not found(host, "d.timers").readable


def test_logrotate_that_names_a_unit_is_found(host: FakeHost) -> None:
    host.put("/etc/logrotate.d/apt", "/var/log/apt/term.log {\n}\n# quietcore\n")
    promise(host.machine(), "daily_life", [LOGS])
    assert found(host, "d.logs").verdict is Verdict.OK
    host.put("/etc/logrotate.d/ours", "postrotate\n systemctl restart quietcore-runtime\nendscript\n")
    finding = found(host, "d.logs")
    assert (finding.verdict, finding.found) == (Verdict.DRIFT, "ours")


@pytest.mark.parametrize(
    ("bad", "what"),
    [
        (setting("s", "drop_in", "/etc/x", "x"), "not a file of a program"),
        (setting("s", "needrestart", "x", ["no unit; rm"]), "not units"),
        (setting("s", "apt_option", "a b", "x"), "not an option of apt"),
        (setting("s", "apt_option", "A::B", 'x";'), "not a value of apt's"),
        (setting("s", "timers", "all", "9"), "unknown CPUs"),
        (setting("s", "unnamed", "relative", "x"), "not a folder"),
    ],
)
def test_what_can_never_be_right_is_refused(host: FakeHost, bad: Setting, what: str) -> None:
    with pytest.raises(QuietcoreError, match=what):
        promise(host.machine(), "daily_life", [bad])

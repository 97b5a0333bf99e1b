"""What a distribution does by itself, judged by what its own programs make of their configuration."""

from __future__ import annotations

import re

from ...errors import QuietcoreError
from ..cpulist import format_cpu_list, kernel_cpu_list, parse_cpu_list
from ..findings import Finding, Verdict
from ..machine import AbsentError, Machine, UnreadableError
from ..settings import Setting
from ..threads import read_threads
from ..units import properties
from .base import APPLY, Context, Kind, cannot_tell, refuse, report

NEEDRESTART = "/etc/needrestart/needrestart.conf"
# needrestart's files are Perl: Perl reads them, and prints what each unit's restart is overridden with.
_READ_NEEDRESTART = """
our %nrconf; my $file = shift; defined(do $file) or die($@ || $!);
for my $unit (@ARGV) {
  my @found = map { $nrconf{override_rc}{$_} } grep { $unit =~ /$_/ } sort keys %{$nrconf{override_rc}};
  print "$unit ", (@found ? join(",", @found) : "none"), "\\n";
}
"""


class NeedrestartKind(Kind):
    """`wanted` are units that needrestart leaves alone. Brought about by a file of the role's own."""

    name = "needrestart"
    applied = "a file in needrestart/conf.d"

    def effective(self, setting: Setting) -> str:
        """Return where the effective value is read."""
        return f"$nrconf{{override_rc}} of {NEEDRESTART}, as Perl reads it"

    def check(self, setting: Setting, machine: Machine) -> None:
        """Refuse what are no units."""
        units = setting.wanted
        if not isinstance(units, list) or not units or not all(_is_unit(unit) for unit in units):
            raise refuse(setting, "not units", "a list such as quietcore-runtime.service")

    def judge(self, setting: Setting, context: Context) -> Finding:
        """See whether needrestart would restart any of them."""
        if not context.machine.exists(NEEDRESTART):
            return report(setting, Verdict.OK, "not installed")
        try:
            result = context.machine.run("perl", "-e", _READ_NEEDRESTART, NEEDRESTART, *setting.wanted)
        except UnreadableError as error:
            return cannot_tell(setting, error)
        lines = [line.split() for line in result.stdout.splitlines()]
        if result.returncode != 0 or [line[0] for line in lines] != list(setting.wanted):
            said = " ".join(result.stderr.split()) or "Perl read nothing"
            broken = UnreadableError(f"{NEEDRESTART}: {said}")
            return cannot_tell(setting, broken, "mend its Perl, or remove what was added to it")
        wrong = {unit: value for unit, value in lines if set(value.split(",")) != {"0"}}
        if not wrong:
            return report(setting, Verdict.OK, "none is restarted")
        found = ", ".join(f"{unit}: {value}" for unit, value in wrong.items())
        missing = all(value == "none" for value in wrong.values())
        cause = "nothing overrides it" if missing else "a file in /etc/needrestart says otherwise"
        return report(setting, Verdict.MISSING if missing else Verdict.OVERRIDDEN, found, cause, APPLY)


class AptOptionKind(Kind):
    """`name` is an option of apt's configuration, `wanted` its value or (a list) what must be among its values;

    `options.of` a path that is there where the program that reads it is.
    """

    name = "apt_option"
    applied = "a file in apt.conf.d"

    def effective(self, setting: Setting) -> str:
        """Return where the effective value is read."""
        return f"apt-config dump {setting.name}"

    def check(self, setting: Setting, machine: Machine) -> None:
        """Refuse what is no option, and values that a file of apt's could not hold."""
        values = setting.wanted if isinstance(setting.wanted, list) else [setting.wanted]
        if not re.fullmatch(r"[A-Za-z0-9_-]+(::[A-Za-z0-9_-]+)*", setting.name):
            raise refuse(
                setting, "not an option of apt", "a name such as Unattended-Upgrade::Automatic-Reboot"
            )
        if any(letter in str(value) for value in values for letter in '"\n;'):
            raise refuse(setting, "not a value of apt's", "text without quotes and semicolons")

    def judge(self, setting: Setting, context: Context) -> Finding:
        """Compare what apt reads with what is wanted."""
        if not context.machine.exists(str(setting.options.get("of", "/"))):
            return report(setting, Verdict.OK, "not installed")
        try:
            result = context.machine.run("apt-config", "dump", "--format", "%v%n", setting.name)
        except UnreadableError as error:
            return cannot_tell(setting, error)
        if result.returncode != 0:
            return cannot_tell(setting, UnreadableError(f"apt-config: {' '.join(result.stderr.split())}"))
        values = [line for line in result.stdout.splitlines() if line]
        found = ", ".join(values) or "not set"
        if isinstance(setting.wanted, list):
            lacking = [value for value in setting.wanted if value not in values]
        else:
            lacking = [] if values[-1:] == [str(setting.wanted)] else [str(setting.wanted)]
        if not lacking:
            return report(setting, Verdict.OK, found)
        if not values:
            return report(setting, Verdict.MISSING, found, "our file is gone or not read", APPLY)
        cause = "a file in /etc/apt/apt.conf.d that sorts after ours says otherwise"
        return report(setting, Verdict.OVERRIDDEN, found, cause, "see `apt-config dump`, and remove it there")


class TimersKind(Kind):
    """`name` is all, `wanted` the CPUs on which what timers start may run: their own CPUs, else systemd's."""

    name = "timers"
    applied = "systemd's own CPUAffinity"

    def effective(self, setting: Setting) -> str:
        """Return where the effective value is read."""
        return "CPUAffinity of each timer's service, else Cpus_allowed_list of process 1"

    def check(self, setting: Setting, machine: Machine) -> None:
        """Refuse other selections and unknown CPUs."""
        known = {cpu.number for cpu in machine.topology.online()}
        cpus = parse_cpu_list(str(setting.wanted))
        if setting.name != "all" or not cpus or cpus - known:
            raise refuse(setting, "unknown CPUs, or none", f"CPUs out of {format_cpu_list(known)}")

    def judge(self, setting: Setting, context: Context) -> Finding:
        """See whether any of them could run elsewhere."""
        machine, wanted = context.machine, parse_cpu_list(str(setting.wanted))
        try:
            services = _services(machine)
            manager = next((thread.allowed for thread in read_threads(machine, [1]) if thread.tid == 1), None)
        except (AbsentError, UnreadableError, QuietcoreError, OSError) as error:
            return cannot_tell(setting, error)
        if manager is None:
            return cannot_tell(setting, UnreadableError("/proc/1 is not there"))
        own = {name: cpus for name, cpus in services.items() if cpus is not None and cpus - wanted}
        inherited = [name for name, cpus in services.items() if cpus is None] if manager - wanted else []
        if not own and not inherited:
            return report(setting, Verdict.OK, f"all of {len(services)} services")
        found = [f"{name} on {format_cpu_list(cpus)}" for name, cpus in sorted(own.items())]
        causes = ["CPUAffinity= in their units"] if own else []
        if inherited:
            found.append(f"{len(inherited)} others on {format_cpu_list(manager)}")
            causes.append("systemd itself may run there, and they inherit it")
        remedy = "run the role isolation again" if inherited else "remove CPUAffinity= from these units"
        return report(setting, Verdict.DRIFT, ", ".join(found), "; ".join(causes), remedy)


class UnnamedKind(Kind):
    """`name` is a folder whose files must not have the word `wanted`, comments aside."""

    name = "unnamed"
    applied = "looked after only"

    def effective(self, setting: Setting) -> str:
        """Return where the effective value is read."""
        return f"the files in {setting.name}"

    def check(self, setting: Setting, machine: Machine) -> None:
        """Refuse relative paths and empty words."""
        if not setting.name.startswith("/") or not str(setting.wanted):
            raise refuse(setting, "not a folder and a word", "an absolute path", setting.name)

    def judge(self, setting: Setting, context: Context) -> Finding:
        """Look through the files."""
        word, named = str(setting.wanted), []
        folder = context.machine.path(setting.name)
        try:
            for path in sorted(folder.iterdir()) if folder.is_dir() else []:
                text = context.machine.read(f"{setting.name}/{path.name}") if path.is_file() else ""
                if any(word in line and not line.lstrip().startswith("#") for line in text.splitlines()):
                    named.append(path.name)
        except (AbsentError, UnreadableError, OSError) as error:
            return cannot_tell(setting, error)
        if not named:
            return report(setting, Verdict.OK, "named nowhere", wanted=f"no {word}")
        cause = f"{', '.join(named)} in {setting.name} may restart or signal it"
        remedy = "take it out there: what the units say goes to the journal, which rotates itself"
        return report(setting, Verdict.DRIFT, ", ".join(named), cause, remedy, f"no {word}")


def _is_unit(name: object) -> bool:
    return isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9:_.@-]+\.[a-z]+", name) is not None


def _services(machine: Machine) -> dict[str, frozenset[int] | None]:
    """Return what timers start, each with the CPUs that it names itself. Raises UnreadableError, QuietcoreError."""
    timers = properties(machine, ("Id", "Triggers"), "*.timer")
    triggered = {name for timer in timers for name in timer["Triggers"].split()}
    if not triggered:
        return {}
    found: dict[str, frozenset[int] | None] = {}
    services = sorted(
        name for name in triggered if name.endswith(".service")
    )  # others have no CPUs of their own
    for block in properties(machine, ("Id", "CPUAffinity"), *services) if services else ():
        text = ",".join(block["CPUAffinity"].split())
        found[block["Id"]] = kernel_cpu_list(text, f"CPUAffinity of {block['Id']}") if text else None
    if services and not found:
        raise UnreadableError("systemctl show: nothing about what timers start")
    return found

"""Kernel parameters: wanted on the command line, configured through GRUB, proven by what the kernel shows."""

from __future__ import annotations

from ...errors import QuietcoreError
from .. import boot_loader
from ..cpulist import format_cpu_list, format_cpu_mask, parse_cpu_list, parse_cpu_mask
from ..findings import Finding, Verdict
from ..grub_defaults import VARIABLE, culprit, words_in
from ..huge_page_words import obeyed_instead
from ..kernel_log import BootMessages
from ..kernel_parameters import repeatable
from ..machine import AbsentError, Machine, UnreadableError
from ..plan import check_isolable
from ..refusals import kernel_parameter_least, kernel_parameter_refusal
from ..settings import Setting
from .base import APPLY, Change, Context, Kind, cannot_tell, refuse, report, unsupported, variable
from .boot_trial import fallen_back, is_armed

_CPU_PARAMETERS = ("isolcpus", "nohz_full", "rcu_nocbs", "irqaffinity")
_ISOLCPUS_FLAGS = ("nohz", "domain", "managed_irq")
_CLOCK = "/sys/devices/system/clocksource/clocksource0"
_SHOWN_BY = {
    "clocksource": f"{_CLOCK}/current_clocksource",
    "isolcpus": "/sys/devices/system/cpu/isolated",
    "nohz_full": "/sys/devices/system/cpu/nohz_full",
    "irqaffinity": "/proc/irq/default_smp_affinity",
    "rcu_nocbs": "the kernel's log (Offload RCU callbacks from CPUs), or nohz_full, which implies it",
}


def _shown_by(name: str) -> str:
    if "." in name:
        module, _, parameter = name.partition(".")
        return f"/sys/module/{module.replace('-', '_')}/parameters/{parameter}"
    return _SHOWN_BY.get(name, "the kernel's log of parameters it did not know")


def _flag(value: str) -> str:
    """Return a value as a module shows it: switches are shown as Y and N."""
    return {"1": "Y", "y": "Y", "on": "Y", "0": "N", "n": "N", "off": "N"}.get(value, value)


def parameter_value(setting: Setting) -> str:
    """Return the value as it stands after the `=`."""
    return ",".join(map(str, setting.wanted)) if isinstance(setting.wanted, list) else str(setting.wanted)


def cpu_part(name: str, value: str) -> frozenset[int]:
    """Return the CPUs of a parameter that names some. Raises QuietcoreError."""
    words = value.split(",")
    while name == "isolcpus" and words and words[0] in _ISOLCPUS_FLAGS:
        words.pop(0)
    return parse_cpu_list(",".join(words))


def same_value(name: str, first: str, second: str) -> bool:
    """Tell whether two values mean the same to the kernel: CPU lists and isolcpus flags in any order."""
    if first == second:
        return True
    if name not in _CPU_PARAMETERS:
        return False
    try:
        flags = [{word for word in text.split(",") if word in _ISOLCPUS_FLAGS} for text in (first, second)]
        return flags[0] == flags[1] and cpu_part(name, first) == cpu_part(name, second)
    except QuietcoreError:
        return False


class KernelParameterKind(Kind):
    """`name` is the parameter, `wanted` its value (an empty text: the bare word)."""

    name = "kernel_parameter"
    applied = "GRUB drop-in, at the next boot"
    needs_boot = True

    def effective(self, setting: Setting) -> str:
        """Return where the effective value is read."""
        return f"last {setting.name} of /proc/cmdline, proven by {_shown_by(setting.name)}"

    def check(self, setting: Setting, machine: Machine) -> None:
        """Refuse dead parameters, unsafe characters, and CPU sets that cannot be isolated."""
        value = parameter_value(setting)
        refusal = kernel_parameter_refusal(setting.name, value)
        if refusal is not None:
            raise refuse(
                setting, f"{boot_loader.word(setting.name, value)} is refused: {refusal[0]}", refusal[1]
            )
        boot_loader.check_word(setting.name, value, variable(setting))
        if setting.name == "clocksource":
            _check_clock(setting, value, machine)
        least = kernel_parameter_least(setting.name, value)
        if least > (0, 0) and machine.kernel < least:
            raise refuse(
                setting,
                f"this kernel ({machine.kernel[0]}.{machine.kernel[1]}) does not understand this value",
                f"kernel {least[0]}.{least[1]} or newer, or another form of {setting.name}",
            )
        if setting.name not in _CPU_PARAMETERS:
            return
        try:
            cpus = cpu_part(setting.name, value)
        except QuietcoreError as error:
            raise refuse(setting, error.what, error.expected) from None
        cores = [tuple(cpu.number for cpu in core) for core in machine.topology.cores().values()]
        boot = next((core for core in cores if 0 in core), cores[0])
        if setting.name == "irqaffinity":
            _check_irqaffinity(setting, cpus, {cpu.number for cpu in machine.topology.cpus}, boot)
        else:
            check_isolable(cores, boot, cpus, variable(setting))
        if setting.name == "isolcpus" and not any(flag in value.split(",") for flag in _ISOLCPUS_FLAGS):
            raise refuse(
                setting, "isolcpus without flags", "managed_irq,domain,LIST: naming one drops the default"
            )

    def judge(self, setting: Setting, context: Context) -> Finding:
        """Compare what the kernel took with what is wanted."""
        machine, name, wanted = context.machine, setting.name, parameter_value(setting)
        try:
            values = boot_loader.values_of(machine.command_line, name)
        except (AbsentError, UnreadableError) as error:
            return cannot_tell(setting, error)
        messages = context.boot_messages
        if values and isinstance(messages, BootMessages) and messages.rejects(name):
            return unsupported(setting, f"the kernel logged {name} as an unknown parameter", values[-1])
        if repeatable(name):  # of those only our own counts
            values = [value for value in values if same_value(name, value, wanted)][:1]
        found = "not on the command line" if not values else values[-1] or "set"
        configured, lacking = _configured(machine, name, wanted)
        if not values or not same_value(name, values[-1], wanted):
            return _not_in_effect(setting, context, values, found, configured, lacking)
        if name == "hugepages":
            first = obeyed_instead(machine, machine.command_line, boot_loader.word(name, wanted))
            if first is not None:
                return report(
                    setting,
                    Verdict.OVERRIDDEN,
                    found,
                    f"an earlier {first} on the command line wins: the kernel obeys the first number for a size",
                    "remove it from /etc/default/grub or the drop-in that adds it, run update-grub, reboot",
                )
        if not all(same_value(name, value, wanted) for value in values):
            return report(
                setting,
                Verdict.DRIFT,
                f"{len(values)} times: {' '.join(boot_loader.word(name, value) for value in values)}",
                f"{name} is on the command line more than once, and some parameters obey the first",
                f"remove the others from /etc/default/grub and /etc/default/grub.d, run update-grub, reboot "
                f"(ours is in {boot_loader.DROP_IN})",
            )
        if not configured:
            remedy = "configure it in this host's boot loader" if boot_loader.obstacle(machine) else APPLY
            return report(setting, Verdict.MISSING, f"{found}, until the next boot", lacking, remedy)
        return _proof(setting, machine, messages, found)

    def changes(self, setting: Setting, context: Context) -> list[Change]:
        """Return the one part that can be had without a boot: where new interrupts start."""
        if setting.name != "irqaffinity" or boot_loader.obstacle(context.machine) is not None:
            return []
        machine, path = context.machine, _SHOWN_BY["irqaffinity"]
        cpus = cpu_part(setting.name, parameter_value(setting))
        try:
            text = machine.read(path)
            shown = parse_cpu_mask(text) & {cpu.number for cpu in machine.topology.cpus}
        except (AbsentError, UnreadableError):
            return []
        return [] if shown == cpus else [Change(f"value:{path}", text, format_cpu_mask(cpus))]

    def owns(self, setting: Setting, target: str) -> bool:
        """Tell whether the target is the default affinity."""
        return setting.name == "irqaffinity" and target == f"value:{_SHOWN_BY['irqaffinity']}"


def _check_clock(setting: Setting, value: str, machine: Machine) -> None:
    try:
        offered = machine.read(f"{_CLOCK}/available_clocksource").split()
    except (AbsentError, UnreadableError):
        return
    if value not in offered:
        raise refuse(setting, "this machine does not offer that clock source", " or ".join(offered))


def _check_irqaffinity(
    setting: Setting, cpus: frozenset[int], known: set[int], boot: tuple[int, ...]
) -> None:
    if cpus - known:
        raise refuse(
            setting,
            f"CPU {format_cpu_list(cpus - known)} does not exist",
            f"CPUs out of {format_cpu_list(known)}",
        )
    if not cpus & set(boot):
        raise refuse(setting, "the boot CPU always takes interrupts", f"a list with CPU {boot[0]}")


def _configured(machine: Machine, name: str, wanted: str) -> tuple[bool, str]:
    """Tell whether the next boot will bring the parameter, and if not, what lacks it."""
    try:
        ours = words_in(machine.read(boot_loader.DROP_IN))
    except (AbsentError, UnreadableError):
        ours = []
    if not any(same_value(name, value, wanted) for value in boot_loader.values_of(ours, name)):
        return False, boot_loader.obstacle(machine) or f"{boot_loader.DROP_IN} does not have it"
    try:
        values = boot_loader.values_of(boot_loader.default_entry(machine), name)
    except (AbsentError, UnreadableError) as error:
        return False, str(error)
    if not any(same_value(name, value, wanted) for value in values):
        why = culprit(machine, VARIABLE, f"{name}={wanted}") if boot_loader.menu_is_newer(machine) else ""
        return False, why or f"{boot_loader.MENU} is older than {boot_loader.DROP_IN}, or was edited"
    if not repeatable(name) and not same_value(name, values[-1], wanted):
        return False, f"a later {boot_loader.word(name, values[-1])} in {boot_loader.MENU} wins"
    return True, ""


def _not_in_effect(
    setting: Setting, context: Context, values: list[str], found: str, configured: bool, lacking: str
) -> Finding:
    name, wanted = setting.name, parameter_value(setting)
    if any(same_value(name, value, wanted) for value in values):
        return report(
            setting,
            Verdict.OVERRIDDEN,
            found,
            f"a later {boot_loader.word(name, values[-1])} on the command line wins",
            "remove it from /etc/default/grub or the drop-in that adds it, run update-grub, reboot",
        )
    if configured:
        reason = fallen_back(context)
        if reason is not None:
            return report(
                setting,
                Verdict.DRIFT,
                found,
                f"the boot with it was not confirmed, so this is the old one: {reason}",
                "change the parameters and apply them, or mend the cause and run `quietcore boot retry`",
            )
        if is_armed(context):
            return report(setting, Verdict.PENDING, found, "the next boot is its trial", "reboot")
        change = context.journal.last_change(f"file:{boot_loader.DROP_IN}")
        if change is not None and context.machine.boot_id and change.boot_id == context.machine.boot_id:
            return report(setting, Verdict.PENDING, found, "configured in this boot", "reboot")
        return report(
            setting,
            Verdict.DRIFT,
            found,
            f"{boot_loader.MENU} has it, but this boot came up without it: another entry, or an edited one",
            "reboot into GRUB's default entry",
        )
    obstacle = boot_loader.obstacle(context.machine)
    if obstacle is not None:
        return unsupported(setting, obstacle, found)
    verdict = Verdict.OVERRIDDEN if " wins" in lacking else Verdict.MISSING
    return report(setting, verdict, found, lacking, f"{APPLY}, then reboot")


def _proof(
    setting: Setting, machine: Machine, messages: BootMessages | UnreadableError, found: str
) -> Finding:
    """The command line is right: now what the kernel made of it."""
    name, wanted = setting.name, parameter_value(setting)
    try:
        shown = _shown(machine, name, wanted, messages)
    except AbsentError as error:
        return unsupported(setting, f"{error}: this kernel was built without it", found)
    except UnreadableError as error:
        return cannot_tell(setting, error)
    if shown is not None:
        return report(
            setting,
            Verdict.DRIFT,
            shown,
            f"the command line has it, but {_shown_by(name)} shows something else",
            APPLY if name == "irqaffinity" else "see the kernel's log for the reason, or reboot",
        )
    return report(setting, Verdict.OK, found)


def _shown(machine: Machine, name: str, wanted: str, messages: BootMessages | UnreadableError) -> str | None:
    """Return what the kernel shows where it is not what is wanted. Raises AbsentError or UnreadableError."""
    if "." in name:  # a module's parameter: the kernel does not log those that nobody takes
        shown_text = machine.read(_shown_by(name))
        return None if _flag(shown_text) == _flag(wanted) else shown_text
    if name == "clocksource":
        current = machine.read(_SHOWN_BY[name])
        return None if current == wanted else current
    if name not in _CPU_PARAMETERS:
        if isinstance(messages, UnreadableError):
            raise messages
        return None
    cpus = cpu_part(name, wanted)
    if name == "isolcpus" and "domain" not in wanted.split(","):
        return None
    if name == "irqaffinity":
        # The mask may name CPUs that could be plugged in: only those that are there count.
        present = {cpu.number for cpu in machine.topology.cpus}
        shown = parse_cpu_mask(machine.read(_SHOWN_BY[name])) & present
        return None if shown == cpus else f"{format_cpu_list(shown)} by default"
    if name == "rcu_nocbs":
        if isinstance(messages, BootMessages) and messages.offloaded is not None:
            offloaded = parse_cpu_list(messages.offloaded)
            return None if offloaded >= cpus else f"offloaded: {messages.offloaded}"
        if _listed(machine, _SHOWN_BY["nohz_full"]) >= cpus:
            return None
        if isinstance(messages, UnreadableError):
            raise messages
        return "offloaded: none"
    listed = _listed(machine, _SHOWN_BY[name])
    return None if listed == cpus else f"{format_cpu_list(listed) or 'none'} in {_SHOWN_BY[name]}"


def _listed(machine: Machine, path: str) -> frozenset[int]:
    text = machine.read(path)
    return frozenset() if text in ("", "(null)") else parse_cpu_list(text)

"""A network card, live: one setting for each part of it. And the file that brings it about at each boot."""

from __future__ import annotations

from ...errors import QuietcoreError
from ..findings import Finding, Verdict
from ..machine import AbsentError, Machine, UnreadableError
from ..network_card import PARTS, WORDS, bounded, check_card, check_name, permanent_address, read_part
from ..settings import Setting
from ..targets import read_target
from .base import APPLY, Change, Context, Kind, cannot_tell, refuse, report, unsupported

_HEAD = "# Written by Quietcore; `quietcore revert` removes it. Edits are lost.\n"
# Lines of systemd.link(5) by part and word.
_LINK = {
    ("ring", "rx"): "RxBufferSize={}",
    ("ring", "tx"): "TxBufferSize={}",
    ("channels", "combined"): "CombinedChannels={}",
    ("channels", "rx"): "RxChannels={}",
    ("channels", "tx"): "TxChannels={}",
    ("coalesce", "adaptive-rx"): "UseAdaptiveRxCoalesce={}",
    ("coalesce", "adaptive-tx"): "UseAdaptiveTxCoalesce={}",
    ("coalesce", "rx-usecs"): "RxCoalesceSec={}us",
    ("coalesce", "tx-usecs"): "TxCoalesceSec={}us",
    ("offload", "gro"): "GenericReceiveOffload={}",
    ("offload", "lro"): "LargeReceiveOffload={}",
    ("offload", "tso"): "TCPSegmentationOffload={}",
    ("offload", "gso"): "GenericSegmentationOffload={}",
}
# What systemd's own 99-default.link says: only the first file that matches counts, and ours comes before it.
_DEFAULT = """NamePolicy=keep kernel database onboard slot path
AlternativeNamesPolicy=database onboard slot path
MACAddressPolicy=persistent
"""


class NetworkCardKind(Kind):
    """`name` is INTERFACE:PART (ring, channels, coalesce, offload, rss), `wanted` its values by ethtool's words."""

    name = "network_card"
    applied = "ethtool, under a connection with a timed way back"
    settles = True

    def effective(self, setting: Setting) -> str:
        """Return where the effective value is read."""
        interface, _, part = setting.name.partition(":")
        return f"ethtool, {part} of {interface}"

    def check(self, setting: Setting, machine: Machine) -> None:
        """Refuse unknown parts, words and values."""
        interface, _, part = setting.name.partition(":")
        if not check_name(interface) or part not in PARTS:
            raise refuse(
                setting, "not a part of a network card", f"INTERFACE:{'|'.join(PARTS)}", setting.name
            )
        if not isinstance(setting.wanted, dict) or not setting.wanted:
            raise refuse(setting, "not values of a network card", ", ".join(WORDS[part]))
        for word, value in _wanted(setting).items():
            if word not in WORDS[part]:
                raise refuse(setting, f"unknown word of {part}", ", ".join(WORDS[part]), word)
            switch = part == "offload" or word.startswith("adaptive")
            if value not in ("on", "off") if switch else not value.isdecimal():
                expected = "on or off" if switch else "a number"
                raise refuse(setting, f"not a value of {word}", expected, f"{word}: {value}")
            if part in ("ring", "channels", "rss") and value == "0":
                raise refuse(setting, f"{word} 0 would stop the card", "1 or more", f"{word}: 0")

    def judge(self, setting: Setting, context: Context) -> Finding:
        """Compare what the card shows with what is wanted, as far as it offers that."""
        interface, _, part = setting.name.partition(":")
        try:
            shown = read_part(context.machine, interface, part)
        except AbsentError as error:
            return unsupported(setting, error)
        except (UnreadableError, ValueError) as error:
            return cannot_tell(setting, error, "install ethtool, and run as root on the host itself")
        wanted = bounded(shown, _wanted(setting))
        if not wanted:
            return unsupported(setting, f"the driver of {interface} offers none of these")
        found = ", ".join(f"{word} {shown.current[word]}" for word in wanted)
        notes = []
        lacking = sorted(set(setting.wanted) - set(wanted))
        if lacking:
            instead = sorted(set(wanted) - set(setting.wanted))
            notes.append(
                f"the driver does not offer {', '.join(lacking)}"
                + (f": {' and '.join(instead)} instead" if instead else "")
            )
        notes += [
            f"{word} {value} is the most"
            for word, value in wanted.items()
            if _wanted(setting).get(word, _wanted(setting).get("combined")) != value != "0"
        ]
        if all(shown.current[word] == value for word, value in wanted.items()):
            return report(setting, Verdict.OK, found, "; ".join(notes))
        cause = "; ".join(["changed by hand, by the driver or by another program", *notes])
        return report(setting, Verdict.DRIFT, found, cause, APPLY)

    def changes(self, setting: Setting, context: Context) -> list[Change]:
        """Return the change of what differs."""
        interface, _, part = setting.name.partition(":")
        try:
            shown = read_part(context.machine, interface, part)
        except AbsentError:
            return []
        except (UnreadableError, ValueError) as error:
            raise QuietcoreError(
                "cannot be read, so it is not changed", where=setting.name, found=str(error)
            ) from None
        wanted = bounded(shown, _wanted(setting))
        differing = {word: value for word, value in wanted.items() if shown.current[word] != value}
        if not differing:
            return []
        # All of it, so that the way back covers what is changed later too.
        return [Change(f"network:{setting.name}", dict(shown.current), differing)]

    def owns(self, setting: Setting, target: str) -> bool:
        """Tell whether the target is this part."""
        return target == f"network:{setting.name}"


class NetworkLinkKind(Kind):
    """`name` is the interface, `wanted` the path of its file for systemd-udevd; the values are those of the

    card's other settings, as far as the card offers them.
    """

    name = "network_link"
    applied = "a file for systemd-udevd"

    def effective(self, setting: Setting) -> str:
        """Return where the effective value is read."""
        return f"{setting.wanted}, and that no other file is the one that counts"

    def check(self, setting: Setting, machine: Machine) -> None:
        """Refuse other places."""
        path = str(setting.wanted)
        folder, _, name = path.rpartition("/")
        if folder != "/etc/systemd/network" or not name.endswith(".link") or not check_name(setting.name):
            raise refuse(setting, "not a file for an interface", "/etc/systemd/network/NAME.link", path)

    def judge(self, setting: Setting, context: Context) -> Finding:
        """See whether the next boot brings the values."""
        machine, path = context.machine, str(setting.wanted)
        try:
            content = _content(setting, context)
            found = read_target(machine, f"file:{path}")
        except AbsentError as error:
            return unsupported(setting, error)
        except (UnreadableError, ValueError) as error:
            return cannot_tell(setting, error)
        if found is None or found["content"] != content:
            shown = "no such file" if found is None else "other content"
            return report(setting, Verdict.MISSING, shown, "removed, edited, or of another plan", APPLY, path)
        other = _winner(machine, setting.name, path)
        if other is not None:
            cause = f"{other} counts for {setting.name} and comes before ours: only one file does"
            return report(setting, Verdict.OVERRIDDEN, other, cause, f"put the lines of {path} there", path)
        return report(setting, Verdict.OK, "as written", wanted=path)

    def changes(self, setting: Setting, context: Context) -> list[Change]:
        """Return the file, where it is another one."""
        path = str(setting.wanted)
        try:
            content = _content(setting, context)
            found = read_target(context.machine, f"file:{path}")
        except AbsentError:
            return []
        except (UnreadableError, ValueError) as error:
            raise QuietcoreError(
                "cannot be read, so it is not changed", where=path, found=str(error)
            ) from None
        wanted = {"content": content, "mode": "0644"}
        return [] if found == wanted else [Change(f"file:{path}", found, wanted)]

    def owns(self, setting: Setting, target: str) -> bool:
        """Tell whether the target is the file, or a folder that was made for it."""
        kind, _, address = target.partition(":")
        path = str(setting.wanted)
        return target == f"file:{path}" or (kind == "folder" and path.startswith(f"{address}/"))


def _wanted(setting: Setting) -> dict[str, str]:
    switches = {True: "on", False: "off"}
    return {
        word: switches[value] if isinstance(value, bool) else str(value)
        for word, value in setting.wanted.items()
    }


def _content(setting: Setting, context: Context) -> str:
    """Return the file's content. Raises AbsentError where the card offers nothing that a file can say."""
    machine, interface = context.machine, setting.name
    check_card(machine, interface)
    lines: list[str] = []
    for other in context.of_kind("network_card"):
        owner, _, part = other.name.partition(":")
        if owner != interface:
            continue
        try:
            values = bounded(read_part(machine, interface, part), _wanted(other))
        except AbsentError:
            continue
        lines += [
            _LINK[part, word].format({"on": "yes", "off": "no"}.get(value, value))
            for word, value in sorted(values.items())
            if (part, word) in _LINK and (part, value) != ("channels", "0")  # the file knows no 0
        ]
    if not lines:
        raise AbsentError(f"{interface} offers nothing that could be set at boot")
    body = "\n".join(
        ["[Match]", f"PermanentMACAddress={permanent_address(machine, interface)}", "", "[Link]"]
    )
    return _HEAD + body + "\n" + _DEFAULT + "\n".join(lines) + "\n"


def _winner(machine: Machine, interface: str, path: str) -> str | None:
    """Return another file that udev took for this interface at the last boot and that sorts before ours."""
    if not machine.can_run:
        return None
    result = machine.run("udevadm", "info", "--query=property", f"--path=/sys/class/net/{interface}")
    for line in result.stdout.splitlines():
        key, _, value = line.partition("=")
        name = value.rpartition("/")[2]
        if key == "ID_NET_LINK_FILE" and value != path and name < path.rpartition("/")[2]:
            return value
    return None

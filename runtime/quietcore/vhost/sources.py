"""Where the guest's packages come from: the controller's own apt sources and proxy, where they fit.

A controller that reaches its mirror only in its own way (an internal mirror, a proxy) must build a guest in the
same way. Third-party sources are left out: a guest that carries a vendor's repository is not a plain host.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

# Keyrings that sign the distribution itself; every other one belongs to a third party.
_OWN_KEYRINGS = ("debian-archive-", "debian-keyring", "ubuntu-archive-")
_ACQUIRE = re.compile(r'^(Acquire::(?:(?:http|https)::[^\s]+|Check-Valid-Until|Check-Date|Retries)) "(.*)";$')
_ONE_LINE = re.compile(
    r"^deb\s+(?:\[(?P<options>[^\]]*)\]\s*)?(?P<uri>\S+)\s+(?P<suite>\S+)\s+(?P<components>.+)$"
)


@dataclass(frozen=True)
class Source:
    """One archive: where, which suites, which components, signed by whom (a path, or empty for apt's own)."""

    uris: tuple[str, ...]
    suites: tuple[str, ...]
    components: tuple[str, ...]
    signed_by: str = ""

    def lines(self) -> list[str]:
        """Return the source in one-line style, as `sources.list` has it."""
        options = f"[signed-by={self.signed_by}] " if self.signed_by else ""
        return [
            f"deb {options}{uri} {suite} {' '.join(self.components)}"
            for uri in self.uris
            for suite in self.suites
        ]


def default_release(os_release: Path = Path("/etc/os-release")) -> str:
    """Return the controller's own release when it is Debian 12 or 13, else `bookworm`."""
    try:
        text = os_release.read_text(encoding="utf-8")
    except OSError:
        return "bookworm"
    values = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    codename = values.get("VERSION_CODENAME", "").strip('"')
    is_debian = values.get("ID", "").strip('"') == "debian"
    return codename if is_debian and codename in ("bookworm", "trixie") else "bookworm"


def _one_line_style(text: str) -> list[Source]:
    found = []
    for line in text.splitlines():
        match = _ONE_LINE.match(line.split("#", 1)[0].strip())
        if match:
            signed = re.search(r"signed-by=(\S+)", match["options"] or "")
            found.append(
                Source(
                    (match["uri"],),
                    (match["suite"],),
                    tuple(match["components"].split()),
                    signed[1] if signed else "",
                )
            )
    return found


def _deb822_style(text: str) -> list[Source]:
    found = []
    without_comments = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for paragraph in re.split(r"\n\s*\n", without_comments):
        fields: dict[str, str] = {}
        last = ""
        for line in paragraph.splitlines():
            if line[:1] in " \t" and last:
                fields[last] += "\n" + line.strip()
            elif ":" in line:
                last, value = line.split(":", 1)
                last = last.strip().lower()
                fields[last] = value.strip()
        enabled = fields.get("enabled", "yes").lower() not in (
            "no",
            "false",
            "0",
            "off",
            "without",
            "disable",
        )
        if "deb" in fields.get("types", "").split() and enabled:
            found.append(
                Source(
                    tuple(fields.get("uris", "").split()),
                    tuple(fields.get("suites", "").split()),
                    tuple(fields.get("components", "").split()),
                    fields.get("signed-by", ""),
                )
            )
    return found


def _expand_mirror_list(uri: str) -> list[str]:
    """Return the first mirror of a `mirror+file:` list, as cloud images have them: the guest lacks the list."""
    if not uri.startswith("mirror+file:"):
        return [uri]
    try:
        lines = Path(uri.removeprefix("mirror+file:")).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    return [line.split()[0] for line in lines if line.strip() and not line.startswith("#")][:1]


def own_sources(release: str, etc_apt: Path = Path("/etc/apt")) -> list[str]:
    """Return the controller's own sources for ``release`` in one-line style; empty where it has none.

    Only the distribution's own archives count: suites of that very name, component main, and no third-party key.
    """
    every: list[Source] = []
    for file in sorted([etc_apt / "sources.list", *etc_apt.glob("sources.list.d/*")]):
        try:
            text = file.read_text(encoding="utf-8")
        except OSError:
            continue
        if file.suffix == ".list":
            every += _one_line_style(text)
        elif file.suffix == ".sources":
            every += _deb822_style(text)
    wanted = (release, f"{release}-updates", f"{release}-security", f"{release}/updates")
    lines: list[str] = []
    has_main_suite = False
    for source in every:
        suites = tuple(suite for suite in source.suites if suite in wanted)
        key = Path(source.signed_by).name
        # A key written out in the source itself cannot be told from a third party's.
        own_key = not source.signed_by or (
            "\n" not in source.signed_by
            and key.startswith(_OWN_KEYRINGS)
            and Path(source.signed_by).is_file()
        )
        uris = tuple(
            mirror
            for uri in source.uris
            for mirror in _expand_mirror_list(uri)
            if not mirror.startswith("cdrom:")
        )
        if not (suites and uris and own_key and "main" in source.components):
            continue
        has_main_suite = has_main_suite or release in suites
        lines += Source(uris, suites, ("main",), source.signed_by).lines()
    return list(dict.fromkeys(lines)) if has_main_suite else []


def parse_acquire_options(dump: str) -> list[str]:
    """Return the lines of ``apt-config dump`` that say how apt reaches its mirrors (proxy, TLS, validity)."""
    return [
        f'{match[1]} "{match[2]}";' for match in map(_ACQUIRE.match, dump.splitlines()) if match and match[2]
    ]


def acquire_options() -> list[str]:
    """Return this controller's apt options for reaching mirrors; empty where there is no apt."""
    try:
        dump = subprocess.run(
            ["apt-config", "dump"], capture_output=True, text=True, check=True, timeout=20
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return parse_acquire_options(dump)

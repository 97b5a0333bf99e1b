"""Which apt sources and options of the controller a guest is built from."""

from pathlib import Path

import pytest

from quietcore.vhost import sources

OWN = """Types: deb
# URIs: http://elsewhere.example/debian
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates bookworm-backports
Components: main contrib
Signed-By: {keyring}

Types: deb deb-src
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
Signed-By: {keyring}

Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main
Enabled: no
"""


@pytest.fixture
def etc_apt(tmp_path: Path) -> Path:
    (tmp_path / "sources.list.d").mkdir()
    return tmp_path


@pytest.fixture
def keyring(tmp_path: Path) -> Path:
    file = tmp_path / "debian-archive-keyring.gpg"
    file.touch()
    return file


def test_own_archives_of_the_release_are_used(etc_apt: Path, keyring: Path) -> None:
    (etc_apt / "sources.list.d" / "debian.sources").write_text(OWN.format(keyring=keyring))
    assert sources.own_sources("bookworm", etc_apt) == [
        f"deb [signed-by={keyring}] http://mirror.example/debian bookworm main",
        f"deb [signed-by={keyring}] http://mirror.example/debian bookworm-updates main",
        f"deb [signed-by={keyring}] http://mirror.example/debian-security bookworm-security main",
    ]
    assert sources.own_sources("trixie", etc_apt) == []


@pytest.mark.parametrize(
    "line",
    [
        "deb [signed-by=/usr/share/keyrings/vendor.gpg] https://vendor.example/apt bookworm main",
        "deb https://vendor.example/apt bookworm stable",
        "deb https://vendor.example/apt cloud-bookworm main",
        "deb cdrom:[Debian] bookworm main",
        "# deb http://mirror.example/debian bookworm main",
        "deb-src http://mirror.example/debian bookworm main",
    ],
)
def test_everything_else_is_left_out(line: str, etc_apt: Path) -> None:
    (etc_apt / "sources.list").write_text(line + "\n")
    assert sources.own_sources("bookworm", etc_apt) == []


def test_one_line_style_and_files_apt_does_not_read(etc_apt: Path) -> None:
    (etc_apt / "sources.list").write_text(
        "deb [arch=amd64] http://mirror.example/debian bookworm main # ours\n"
    )
    (etc_apt / "sources.list.d" / "old.list.disabled").write_text(
        "deb http://old.example/debian bookworm main\n"
    )
    assert sources.own_sources("bookworm", etc_apt) == ["deb http://mirror.example/debian bookworm main"]


def test_security_updates_alone_are_no_release(etc_apt: Path) -> None:
    (etc_apt / "sources.list").write_text(
        "deb http://mirror.example/debian-security bookworm-security main\n"
    )
    assert sources.own_sources("bookworm", etc_apt) == []


def test_mirror_list_of_a_cloud_image_becomes_its_first_mirror(etc_apt: Path, tmp_path: Path) -> None:
    mirrors = tmp_path / "mirrors"
    mirrors.write_text(
        "# chosen by the cloud\nhttp://near.example/debian priority:1\nhttp://far.example/debian\n"
    )
    (etc_apt / "sources.list").write_text(f"deb mirror+file:{mirrors} bookworm main\n")
    assert sources.own_sources("bookworm", etc_apt) == ["deb http://near.example/debian bookworm main"]


def test_proxy_and_validity_options_are_taken_over_and_no_others() -> None:
    dump = """APT::Install-Recommends "0";
Acquire "";
Acquire::http "";
Acquire::http::Proxy "http://proxy.example:3142";
Acquire::http::Proxy::internal.example "DIRECT";
Acquire::https::CaInfo "/etc/ssl/own.pem";
Acquire::Check-Valid-Until "false";
Acquire::Languages "none";
Acquire::cdrom::mount "/media/cdrom";
"""
    assert sources.parse_acquire_options(dump) == [
        'Acquire::http::Proxy "http://proxy.example:3142";',
        'Acquire::http::Proxy::internal.example "DIRECT";',
        'Acquire::https::CaInfo "/etc/ssl/own.pem";',
        'Acquire::Check-Valid-Until "false";',
    ]


@pytest.mark.parametrize(
    ("text", "release"),
    [
        ("ID=debian\nVERSION_CODENAME=bookworm\n", "bookworm"),
        ('ID=debian\nVERSION_CODENAME="trixie"\n', "trixie"),
        ("ID=debian\nVERSION_CODENAME=bullseye\n", "bookworm"),
        ("ID=ubuntu\nVERSION_CODENAME=noble\n", "bookworm"),
        ("", "bookworm"),
    ],
)
def test_default_release_is_the_controllers_where_it_is_known(
    text: str, release: str, tmp_path: Path
) -> None:
    file = tmp_path / "os-release"
    file.write_text(text)
    assert sources.default_release(file) == release

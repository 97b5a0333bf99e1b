"""What decides an image's key, and what a build that cannot succeed says and leaves behind."""

import os
import pwd
from pathlib import Path

import pytest

from quietcore.errors import ExitCode, QuietcoreError
from quietcore.vhost import disk, image, lifecycle, programs, space
from quietcore.vhost.progress import Progress
from quietcore.vhost.recipe import Recipe

QUIET = Progress(quiet=True)


def put_program(folder: Path, name: str, script: str) -> None:
    folder.mkdir(exist_ok=True)
    file = folder / name
    file.write_text("#!/bin/sh\n" + script)
    file.chmod(0o755)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A state folder with an ssh key, so that no test waits for one to be made."""
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "id_ed25519").write_text("private\n")
    (tmp_path / "state" / "id_ed25519.pub").write_text("ssh-ed25519 AAAA test\n")
    return tmp_path / "state"


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand-ins for every program of the build; each test makes one of them misbehave."""
    folder = tmp_path / "bin"
    for program in image.TOOLS:
        put_program(folder, program, "exit 0\n")
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


def test_same_recipe_same_key() -> None:
    assert Recipe("bookworm", "key").key == Recipe("bookworm", "key").key


def test_key_follows_all_that_makes_the_content(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [Recipe("bookworm", "key").key, Recipe("trixie", "key").key, Recipe("bookworm", "other").key]
    monkeypatch.setattr(disk, "layout_key", lambda: "another layout")
    keys.append(Recipe("bookworm", "key").key)
    monkeypatch.setattr(Recipe, "packages", property(lambda _: "systemd"))
    keys.append(Recipe("bookworm", "key").key)
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("release", ["bookworm", "trixie"])
def test_every_placeholder_of_the_script_is_filled(release: str) -> None:
    script = Recipe(release, "ssh-ed25519 AAAA test").customize_hook
    assert "ssh-ed25519 AAAA test\nEND" in script
    assert "@" not in script


def test_missing_programs_are_named_with_their_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "which", lambda _: None)
    with pytest.raises(
        QuietcoreError, match=r"programs missing: mmdebstrap, newuidmap.*apt-get install .*uidmap"
    ):
        programs.require_tools(image.TOOLS)


def test_user_without_subordinate_ids_is_told_how_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = pwd.getpwuid(1)
    monkeypatch.setattr(os, "geteuid", lambda: user.pw_uid)
    file = tmp_path / "subuid"
    file.write_text("somebody:100000:65536\n")
    with pytest.raises(
        QuietcoreError, match=rf"user {user.pw_name} has no .*usermod --add-subuids .* {user.pw_name}"
    ):
        image.require_subordinate_ids([file])
    file.write_text(f"{user.pw_name}:100000:1000\n")
    with pytest.raises(QuietcoreError, match="no subordinate ids"):
        image.require_subordinate_ids([file])
    file.write_text(f"{user.pw_name}:100000:65536\n")
    image.require_subordinate_ids([file])


def test_no_space_says_how_much_is_missing_where_and_builds_nothing(
    root: Path, tools: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_program(tools, "mmdebstrap", f"touch {tools / 'ran'}\n")
    monkeypatch.setattr(space, "free_bytes", lambda _: 1000 * 1024 * 1024)
    with pytest.raises(
        QuietcoreError, match=r"no space for the image.*1000 MiB free; expected 2400 MiB, 1401 MiB more"
    ):
        image.build(root, "bookworm", QUIET)
    assert not (tools / "ran").exists()
    assert not [file for file in (root / "images").iterdir() if not file.name.endswith(".lock")]


def test_failed_bootstrap_shows_its_errors_and_leaves_nothing(root: Path, tools: Path) -> None:
    put_program(tools, "mmdebstrap", "echo 'I: downloading'; echo 'E: no such mirror' >&2; exit 7\n")
    with pytest.raises(
        QuietcoreError, match=r"mmdebstrap failed \(exit status 7\): .*\.log; found E: no such mirror"
    ) as caught:
        image.build(root, "bookworm", QUIET)
    assert caught.value.code == ExitCode.UNKNOWN
    left = [file for file in (root / "images").iterdir() if not file.name.endswith((".lock", ".log"))]
    assert left == []


def test_left_over_of_a_killed_build_is_removed_by_the_next(root: Path, tools: Path) -> None:
    put_program(tools, "mmdebstrap", "exit 1\n")
    key = Recipe("bookworm", "ssh-ed25519 AAAA test").key
    half = root / "images" / f".{key}-abc"
    half.mkdir(parents=True)
    with pytest.raises(QuietcoreError, match="mmdebstrap failed"):
        image.build(root, "bookworm", QUIET)
    assert not half.exists()


def test_finished_image_is_used_without_any_tool(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = root / "images" / Recipe("bookworm", "ssh-ed25519 AAAA test").key
    made.mkdir(parents=True)
    (made / "disk.raw").touch()
    monkeypatch.setattr(image, "TOOLS", {"no-such-program": "no-such-package"})
    assert image.build(root, "bookworm", QUIET).folder == made


def test_old_images_go_when_no_host_stands_on_them(root: Path) -> None:
    for name in ("bookworm-new", "bookworm-used", "bookworm-old", "trixie-other"):
        (root / "images" / name).mkdir(parents=True)
    (root / "demo").mkdir()
    (root / "demo" / "disk.qcow2").touch()
    image._prune(root, "bookworm", keep="bookworm-new")
    assert (root / "images" / "bookworm-old").exists(), "a host without a record may stand on any image"
    (root / "demo" / "vhost.json").write_text('{"image": "bookworm-used"}')
    image._prune(root, "bookworm", keep="bookworm-new")
    assert sorted(path.name for path in (root / "images").iterdir()) == [
        "bookworm-new",
        "bookworm-used",
        "trixie-other",
    ]


def test_unknown_release_is_refused(root: Path) -> None:
    with pytest.raises(
        QuietcoreError, match="unknown release: --release; found buster; expected bookworm or trixie"
    ):
        image.build(root, "buster", QUIET)


def test_unusable_tmpdir_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    monkeypatch.setenv("TMPDIR", str(private))
    with pytest.raises(QuietcoreError, match="not a usable folder for building: TMPDIR="):
        space.scratch_folder(1)


def test_images_in_use_are_not_removed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUIETCORE_VHOST_DIR", str(root))
    (root / "demo").mkdir()
    with pytest.raises(QuietcoreError, match="hosts still use the images; found demo"):
        lifecycle.remove_images()

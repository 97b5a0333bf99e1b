"""Make, boot, enter and remove the throw-away virtual host.

It is a Debian machine under qemu that boots through GRUB and UEFI like a real one, reachable by ssh on
127.0.0.1 only. Its name comes from --name, else $QUIETCORE_VHOST, else `demo`; its files are in
build/vhost/NAME, or below $QUIETCORE_VHOST_DIR.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from quietcore.errors import ExitCode, QuietcoreError
from quietcore.vhost import lifecycle, process, record
from quietcore.vhost.machine import Shape
from quietcore.vhost.places import places, state_root
from quietcore.vhost.recipe import RELEASES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    commands = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    name = argparse.ArgumentParser(add_help=False)
    name.add_argument("--name", help="which virtual host (default: $QUIETCORE_VHOST, else demo)")
    release = argparse.ArgumentParser(add_help=False)
    release.add_argument("--release", choices=RELEASES, help="default: the controller's own, else bookworm")
    release.add_argument(
        "--mirror", help="Debian mirror to build from (default: the controller's own apt sources)"
    )

    build = commands.add_parser("build", parents=[release], help="make the image, unless it is there")
    build.add_argument("--fresh", action="store_true", help="make it anew, with the packages of today")

    up = commands.add_parser(
        "up", parents=[name, release], help="make the image if needed, boot, wait for ssh"
    )
    up.add_argument("--cpus", type=int, default=Shape.cpus, help="default %(default)s")
    up.add_argument("--memory", type=int, default=Shape.memory, help="MiB, default %(default)s")
    up.add_argument("--sockets", type=int, default=Shape.sockets, help="default %(default)s")
    up.add_argument(
        "--threads", type=int, default=Shape.threads, help="of a core (SMT), default %(default)s: none"
    )
    up.add_argument("--nodes", type=int, default=Shape.nodes, help="of memory (NUMA), default %(default)s")
    up.add_argument(
        "--cold", action="store_true", help="boot, even where a snapshot of an earlier boot would do"
    )
    up.add_argument("--json", action="store_true", help="print what is known of the host as JSON")

    status = commands.add_parser(
        "status", parents=[name], help="show the hosts; exit 1 where the named one is not up"
    )
    status.add_argument("--json", action="store_true", help="as JSON")

    enter = commands.add_parser("ssh", parents=[name], help="log in, or run ssh with further words")
    enter.add_argument(
        "words", nargs=argparse.REMAINDER, metavar="…", help="command and arguments, as for ssh"
    )
    execute = commands.add_parser("exec", parents=[name], help="run one command; its exit status is ours")
    execute.add_argument(
        "words", nargs=argparse.REMAINDER, metavar="-- COMMAND …", help="quoted for the host's shell"
    )

    down = commands.add_parser("down", parents=[name], help="end the host and remove it; the image stays")
    down.add_argument("--keep", action="store_true", help="shut down and keep the disk for the next `up`")
    down.add_argument("--all", action="store_true", help="every host")
    down.add_argument("--images", action="store_true", help="remove the images too")

    for action, text in (
        ("snapshot", "keep disk and memory under a name"),
        ("restore", "go back to a snapshot"),
    ):
        command = commands.add_parser(action, parents=[name], help=text)
        command.add_argument("tag", help="the snapshot's name")
        if action == "snapshot":
            command.add_argument("--delete", action="store_true", help="remove it instead")


def _terminated(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    # An end by `kill` or a closed terminal must tidy up as Ctrl-C does.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _terminated)
    action = {
        "build": _build,
        "up": _up,
        "status": _status,
        "ssh": _ssh,
        "exec": _exec,
        "down": _down,
        "snapshot": _snapshot,
        "restore": _restore,
    }[arguments.action]
    return action(arguments)


def _json(info: record.Info) -> dict[str, object]:
    values = {name: str(value) if isinstance(value, Path) else value for name, value in asdict(info).items()}
    return {**values, "ssh_command": shlex.join(info.ssh_command())}


def _build(arguments: argparse.Namespace) -> int:
    image = lifecycle.build(arguments.release, fresh=arguments.fresh, mirror=arguments.mirror)
    print(image.folder)
    return ExitCode.OK


def _up(arguments: argparse.Namespace) -> int:
    if not 1 <= arguments.cpus <= 64 or arguments.memory < 512:
        raise QuietcoreError(
            "not a size for the virtual host",
            where="--cpus, --memory",
            found=f"{arguments.cpus} CPUs, {arguments.memory} MiB",
            expected="1 to 64 CPUs, at least 512 MiB",
        )
    shape = Shape(arguments.cpus, arguments.memory, arguments.sockets, arguments.threads, arguments.nodes)
    shape.demand_whole()
    info = lifecycle.up(
        arguments.name,
        release=arguments.release,
        shape=shape,
        cold=arguments.cold,
        mirror=arguments.mirror,
    )
    if arguments.json:
        print(json.dumps(_json(info), indent=2))
    else:
        print(f"{info.host} is up ({info.came_up}, {info.seconds:.1f} s; {info.accelerator}: {info.reason})")
        print(f"  log in:  {shlex.join(info.ssh_command())}")
        print(f"  console: {info.places.console}")
        print(f"  remove:  quietcore vhost down --name {info.name}")
    return ExitCode.OK


def _status(arguments: argparse.Namespace) -> int:
    chosen = places(arguments.name).name
    rows = []
    for name in record.names():
        info = record.info(name)
        if info:
            try:
                rows.append(
                    {**_json(info), "state": "up", "snapshots": lifecycle.snapshot_names(name, timeout=5)}
                )
            except QuietcoreError as error:
                rows.append({**_json(info), "state": "silent", "error": str(error)})
        else:
            rows.append({"name": name, "state": "stopped" if places(name).disk.is_file() else "failed"})
    if arguments.json:
        print(json.dumps({"state_folder": str(state_root()), "hosts": rows}, indent=2))
    elif not rows:
        print(f"no virtual host in {state_root()}; `quietcore vhost up` makes one")
    else:
        print(f"{'NAME':<12} {'STATE':<8} {'IMAGE':<22} {'BY':<4} {'PORT':>5} {'PID':>7}  SNAPSHOTS")
        for row in rows:
            shown = [
                str(row.get(key, "-")) for key in ("name", "state", "image", "accelerator", "port", "pid")
            ]
            found = row.get("snapshots")
            tags = ", ".join(found) if isinstance(found, list) and found else "-"
            print("{:<12} {:<8} {:<22} {:<4} {:>5} {:>7}  ".format(*shown) + tags)
    up = any(row["name"] == chosen and row["state"] == "up" for row in rows)
    return ExitCode.OK if up else ExitCode.FOUND


def _words(arguments: argparse.Namespace) -> list[str]:
    words = list(arguments.words)
    return words[1:] if words[:1] == ["--"] else words


def _ssh(arguments: argparse.Namespace) -> int:
    command = record.require_up(arguments.name).ssh_command(*_words(arguments))
    sys.stdout.flush()
    os.execvp(command[0], command)  # noqa: S606 - ssh takes our place, terminal and all


def _exec(arguments: argparse.Namespace) -> int:
    words = _words(arguments)
    if not words:
        raise QuietcoreError("no command", where="exec", remedy="quietcore vhost exec -- uname -r")
    command = record.require_up(arguments.name).ssh_command(shlex.join(words))
    return subprocess.run(command, check=False).returncode


def _down(arguments: argparse.Namespace) -> int:
    chosen = record.names() if arguments.all else [places(arguments.name).name]
    for name in chosen:
        was = process.running_pid(places(name)) is not None
        if lifecycle.down(name, keep=arguments.keep):
            print(
                f"{name}: {'ended' if was else 'was not running'}, {'disk kept' if arguments.keep else 'removed'}"
            )
        else:
            print(f"{name}: nothing there")
    if arguments.images:
        print(f"images removed: {lifecycle.remove_images()}")
    return ExitCode.OK


def _snapshot(arguments: argparse.Namespace) -> int:
    if arguments.delete:
        lifecycle.forget(arguments.tag, arguments.name)
        return ExitCode.OK
    lifecycle.snapshot(arguments.tag, arguments.name)
    return ExitCode.OK


def _restore(arguments: argparse.Namespace) -> int:
    lifecycle.restore(arguments.tag, arguments.name)
    return ExitCode.OK

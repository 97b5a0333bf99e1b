"""A network card that answers ethtool as a driver of a real one does."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from tests.host.fake_host import FakeHost

ADDRESS = "02:00:00:00:00:01"


def answer(code: int, out: str = "", err: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.CompletedProcess((), code, out, err)


class FakeCard:
    """`eth0` of the fake host: 512 of at most 4096 descriptors, 4 of 8 channels, adaptive coalescing."""

    def __init__(self, host: FakeHost, driver: str = "ixgbe") -> None:
        self.host = host
        self.ring = {"rx": "512", "tx": "512"}
        self.channels = {"combined": "4"}
        self.coalesce = {"adaptive-rx": "on", "adaptive-tx": "on", "rx-usecs": "8", "tx-usecs": "8"}
        self.offload = {"gro": "on", "lro": "off"}
        self.equal = 4
        self.most = 4096
        self.unsupported: set[str] = set()
        self.fails: set[str] = set()
        self.sets: list[tuple[str, ...]] = []
        host.put(
            "/proc/net/tcp", "  sl  local_address rem_address   st\n   0: 00000000:0016 00000000:0000 0A\n"
        )
        host.programs["ethtool"] = self.ethtool
        host.programs["udevadm"] = lambda words: answer(
            0, "ID_NET_LINK_FILE=/usr/lib/systemd/network/99-default.link\n"
        )
        host.programs["ip"] = lambda words: answer(
            0, "2: eth0    inet 192.0.2.10/24 brd 192.0.2.255 scope global eth0\n"
        )
        host.programs["systemd-run"] = self.systemd_run
        self.bind(driver)

    def bind(self, driver: str) -> None:
        link = self.host.root / "sys/devices/pci0000:00/0000:00:02.0/virtio1/driver"
        link.unlink(missing_ok=True)
        target = self.host.root / "sys/bus/pci/drivers" / driver
        target.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)

    def connect(self) -> None:
        """Somebody is connected by ssh through eth0: 192.0.2.10, port 22."""
        rows = ["  sl  local_address rem_address   st", "   0: 00000000:0016 00000000:0000 0A"]
        rows.append("   1: 0A0200C0:0016 010200C0:C000 01")
        self.host.put("/proc/net/tcp", "\n".join(rows) + "\n")
        self.host.put("/usr/local/sbin/quietcore", "")

    def systemd_run(self, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
        self.host.units["quietcore-way-back.timer"] = {"enabled": False, "active": True}
        return answer(0)

    def ethtool(self, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
        option, rest = words[1], words[3:]
        if option in self.unsupported:
            return answer(1, err="netlink error: Operation not supported\n")
        if option in self.fails:
            return answer(1, err="netlink error: Invalid argument\n")
        shows = {
            "-g": self.show_ring,
            "-l": self.show_channels,
            "-c": self.show_coalesce,
            "-k": self.show_offload,
        }
        if option in shows:
            return answer(0, shows[option]())
        if option == "-x":
            table = " ".join(str(index % self.equal) for index in range(8))
            return answer(
                0, f"RX flow hash indirection table for eth0 with 4 RX ring(s):\n    0:      {table}\n"
            )
        if option == "-P":
            return answer(0, f"Permanent address: {ADDRESS}\n")
        self.sets.append(tuple(words[1:]))
        if option == "-X":
            self.equal = 4 if rest[0] == "default" else int(rest[1])
            return answer(0)
        part = {"-G": self.ring, "-L": self.channels, "-C": self.coalesce, "-K": self.offload}[option]
        part.update(dict(zip(rest[::2], rest[1::2], strict=True)))
        return answer(0)

    def show_ring(self) -> str:
        most = f"Pre-set maximums:\nRX:\t\t{self.most}\nRX Mini:\tn/a\nRX Jumbo:\tn/a\nTX:\t\t{self.most}\n"
        now = f"RX:\t\t{self.ring['rx']}\nRX Mini:\tn/a\nRX Jumbo:\tn/a\nTX:\t\t{self.ring['tx']}\n"
        return f"Ring parameters for eth0:\n{most}Current hardware settings:\n{now}RX Buf Len:\tn/a\n"

    def show_channels(self) -> str:
        if "combined" not in self.channels or len(self.channels) > 1:
            return self.show_separate_channels()
        most = "Pre-set maximums:\nRX:\t\tn/a\nTX:\t\tn/a\nOther:\t\t1\nCombined:\t8\n"
        now = f"RX:\t\tn/a\nTX:\t\tn/a\nOther:\t\t1\nCombined:\t{self.channels['combined']}\n"
        return f"Channel parameters for eth0:\n{most}Current hardware settings:\n{now}"

    def show_separate_channels(self) -> str:
        """A card with 4 queues of each kind, with or without combined ones beside them."""
        shown = {name: self.channels.get(name.lower(), "n/a") for name in ("RX", "TX", "Combined")}
        entries = "RX:\t\t{RX}\nTX:\t\t{TX}\nOther:\t\tn/a\nCombined:\t{Combined}\n"
        most = {name: "n/a" if value == "n/a" else "4" for name, value in shown.items()}
        head = f"Channel parameters for eth0:\nPre-set maximums:\n{entries.format(**most)}"
        return f"{head}Current hardware settings:\n{entries.format(**shown)}"

    def show_coalesce(self) -> str:
        c = self.coalesce
        head = f"Coalesce parameters for eth0:\nAdaptive RX: {c['adaptive-rx']}  TX: {c['adaptive-tx']}\n"
        times = f"rx-usecs:\t{c['rx-usecs']}\nrx-frames:\tn/a\ntx-usecs:\t{c['tx-usecs']}\n"
        return f"{head}stats-block-usecs:\tn/a\n\n{times}"

    def show_offload(self) -> str:
        o = self.offload
        fixed = "generic-segmentation-offload: off [fixed]"
        return (
            f"Features for eth0:\nrx-checksumming: on\ngeneric-receive-offload: {o['gro']}\n"
            f"large-receive-offload: {o['lro']}\n{fixed}\n"
            "tcp-segmentation-offload: off [fixed]\nreceive-hashing: off [fixed]\n"
        )

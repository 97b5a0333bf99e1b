"""A host as a tree of files, with a kernel and a systemd that answer like real ones as far as they are asked."""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from quietcore.host.boot_confirm import confirm
from quietcore.host.cpulist import format_cpu_list, format_cpu_mask, parse_cpu_list
from quietcore.host.machine import Machine
from quietcore.host.targets import PARTITION_UNIT

GRUB_DEFAULT = 'GRUB_DEFAULT=0\nGRUB_CMDLINE_LINUX_DEFAULT="quiet"\nGRUB_CMDLINE_LINUX=""\n'
CLOUD_DROP_IN = 'GRUB_CMDLINE_LINUX="console=tty0 console=ttyS0,115200"\n'
SYSCTL = {
    "kernel/sched_rt_period_us": "1000000",
    "kernel/sched_rt_runtime_us": "950000",
    "vm/swappiness": "60",
    "net/core/rmem_max": "212992",
    "net/ipv4/tcp_rmem": "4096\t131072\t6291456",
}
KERNEL, BOUND = 0x00200000, 0x04000000  # flags of a thread in /proc/PID/stat

HEADER = """\
if [ -s $prefix/grubenv ]; then
  set have_grubenv=true
  load_env
fi
if [ "${next_entry}" ] ; then
   set default="${next_entry}"
   set next_entry=
   save_env next_entry
   set boot_once=true
else
"""
OPTION = """\
if [ x"${feature_menuentry_id}" = xy ]; then
  menuentry_id_option="--id"
else
  menuentry_id_option=""
fi
export menuentry_id_option
"""

Program = Callable[[tuple[str, ...]], "subprocess.CompletedProcess[str]"]

OURS = ("var/lib/quietcore", "etc/quietcore")


class FakeHost:
    """Builds and drives the tree. `boot()` is a reboot: the kernel takes what GRUB's menu says."""

    def __init__(self, root: Path, cpus: int = 6, threads: int = 1, nodes: int = 1) -> None:
        self.root = root
        self.cpus, self.threads, self.nodes = cpus, threads, nodes
        self.units: dict[str, dict[str, bool]] = {"irqbalance.service": {"enabled": True, "active": True}}
        self.calls: list[tuple[str, ...]] = []
        self.immovable: set[int] = set()
        self.immovable_error = errno.EIO  # of Linux 6.1; 6.12 says EPERM
        self.stubborn: set[int] = set()  # threads that the kernel refuses to move
        self.grub_fails = False
        self.watchdog = "0"
        self.sshd_says: str | None = None  # why sshd does not answer
        self.boot_lies_on = {"fs": "ext2", "abstraction": ""}
        self.kernel = "6.1.0-28-amd64"
        self.image = "/boot/vmlinuz"  # what grub-mkconfig puts into the menu
        self.programs: dict[str, Program] = {}  # further ones, by name
        self.unknown_parameters: set[str] = set()
        self.boots = 0
        self._disk()
        self.boot()

    def put(self, path: str, text: str) -> None:
        target = self.root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def get(self, path: str) -> str:
        return (self.root / path.lstrip("/")).read_text().strip()

    def files(self) -> dict[str, str]:
        """Everything on the host but what is Quietcore's own to keep."""
        return {
            str(path.relative_to(self.root)): path.read_text()
            for path in sorted(self.root.rglob("*"))
            if path.is_file() and not str(path.relative_to(self.root)).startswith(OURS)
        }

    def drop(self, path: str) -> None:
        (self.root / path.lstrip("/")).unlink()

    def unreadable(self, path: str) -> None:
        """Make a path that cannot be read, for root either: a folder where a file is expected."""
        self.drop(path)
        (self.root / path.lstrip("/")).mkdir()

    def machine(self) -> Machine:
        return FakeMachine(self)

    def _disk(self) -> None:
        self.put("/etc/default/grub", GRUB_DEFAULT)
        self.put("/etc/default/grub.d/50-cloudimg-settings.cfg", CLOUD_DROP_IN)
        self.put("/usr/sbin/grub-mkconfig", "")
        self.put("/usr/sbin/grub-probe", "")
        self.put("/usr/bin/grub-editenv", "")
        self.put("/boot/vmlinuz", "kernel\n")
        self.put("/boot/initrd.img", "initial RAM disk\n")
        self._put_environment({})
        self.put("/etc/systemd/system/.keep", "")
        self.put("/usr/lib/systemd/system/irqbalance.service", "")
        self.put("/usr/lib/sysctl.d/50-default.conf", "vm.swappiness = 60\n")
        self.update_grub()

    def update_grub(self, path: str = "/boot/grub/grub.cfg") -> None:
        script = (
            ". ./etc/default/grub; for f in ./etc/default/grub.d/*.cfg; do . $f; done;"
            ' echo "$GRUB_CMDLINE_LINUX|$GRUB_CMDLINE_LINUX_DEFAULT|$GRUB_DEFAULT"'
        )
        line = self._sh(script)
        always, normal, default = line.strip().split("|")
        image = f"{self.image} root=UUID=1 ro"
        self.put(
            path,
            HEADER
            + f'   set default="{"${saved_entry}" if default == "saved" else default}"\nfi\n'
            + OPTION
            + f"menuentry 'Debian' --class debian $menuentry_id_option 'simple' {{\n"
            f"\tlinux\t{image} {always} {normal}\n\tinitrd\t/boot/initrd.img\n}}\n"
            f"menuentry 'recovery' {{\n\tlinux\t{image} single {always}\n}}\n" + self._own_entries(),
        )

    def _own_entries(self) -> str:
        path = self.root / "etc/grub.d/42_quietcore"
        if not path.is_file():
            return ""
        assert path.stat().st_mode & 0o111, "grub-mkconfig runs only what is executable"
        return self._sh(path.read_text().replace("-e /boot", "-e ./boot"))

    def _sh(self, script: str) -> str:
        return subprocess.run(
            ["sh", "-euc", script], cwd=self.root, capture_output=True, text=True, check=True
        ).stdout

    def environment(self) -> dict[str, str]:
        """What GRUB's environment block says: an empty variable says nothing."""
        return {name: value for name, value in self._variables().items() if value}

    def _variables(self) -> dict[str, str]:
        lines = (line for line in self.get("/boot/grub/grubenv").splitlines() if not line.startswith("#"))
        return dict(line.split("=", 1) for line in lines)

    def _put_environment(self, values: dict[str, str]) -> None:
        text = "".join(f"{name}={value}\n" for name, value in values.items())
        block = "# GRUB Environment Block\n" + text
        self.put("/boot/grub/grubenv", block + "#" * (1024 - len(block)))

    def choose(self) -> str:
        """Return the command line that GRUB boots: the one-shot, which it forgets, else the default."""
        values = self.environment()
        entry = values.get("next_entry", "")
        if entry:
            self._put_environment({**values, "next_entry": ""})
        menu = self.get("/boot/grub/grub.cfg")
        default = re.findall(r'set default="(.*)"', menu)[-1]
        entry = entry or (values.get("saved_entry", "") if default == "${saved_entry}" else default)
        found = re.findall(r"menuentry '(.*?)'.*?(?: '(.*?)')? \{\n(?:\t.*\n)*?\tlinux\t(.*)\n", menu)
        lines = {key: line for title, name, line in found for key in (title, name) if key}
        return str(lines.get(entry, found[int(entry) if entry.isdecimal() else 0][2]))

    def boot(self, command_line: str | None = None) -> None:
        self.boots += 1
        shutil.rmtree(self.root / "run", ignore_errors=True)
        words = (command_line or self.choose()).split()
        given = {word.partition("=")[0]: word.partition("=")[2] for word in words}
        self.put("/proc/cmdline", " ".join(["BOOT_IMAGE=/boot/vmlinuz", *words[1:]]) + "\n")
        self.put("/proc/sys/kernel/random/boot_id", f"boot-{self.boots}\n")
        self.put("/proc/sys/kernel/osrelease", f"{self.kernel}\n")
        self.put("/proc/meminfo", "MemTotal:        2048000 kB\n")
        for key, value in SYSCTL.items():
            self.put(f"/proc/sys/{key}", f"{value}\n")
        self._cpus(given)
        everyone = set(range(self.cpus))
        isolated = parse_cpu_list(
            given.get("isolcpus", "").replace("managed_irq,", "").replace("domain,", "")
        )
        self.put("/sys/devices/virtual/workqueue/cpumask", format_cpu_mask(everyone - isolated) + "\n")
        log = ["Linux version 6.1.0 (debian)", f"Command line: {self.get('/proc/cmdline')}"]
        unknown = [word for word in words if word.partition("=")[0] in self.unknown_parameters]
        if unknown:
            log.append(
                f'Unknown kernel command line parameters "{" ".join(unknown)}", will be passed to user space.'
            )
        if given.get("rcu_nocbs"):
            log.append(f"rcu: \tOffload RCU callbacks from CPUs: {given['rcu_nocbs']}.")
        self.put("/dev/kmsg", "\n".join(log) + "\n")
        pages = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"
        self.put(pages, given.get("hugepages", "0") + "\n")
        self.put("/sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages", "0\n")
        self.put("/sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never\n")
        self._interrupts(given)
        for path in (self.root / "proc").glob("[0-9]*"):
            shutil.rmtree(path)
        # The kernel starts the first process, and so all others, off the CPUs that it isolates.
        domain = "domain" in given.get("isolcpus", "").split(",")
        rest = format_cpu_list(everyone - isolated if domain else everyone)
        self.process(1, "systemd", "/init.scope", rest)
        self.process(2, "kthreadd", "/", rest, KERNEL)
        self.process(31, "ksoftirqd/3", "/", "3", KERNEL | BOUND)
        self.process(40, "kswapd0", "/", rest, KERNEL)
        self.process(300, "sshd", "/system.slice/ssh.service", rest)
        shutil.rmtree(self.root / "sys/fs/cgroup", ignore_errors=True)
        self.put("/sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory pids\n")
        for unit, state in self.units.items():
            state["active"] = state["enabled"]
            if unit == PARTITION_UNIT and state["active"]:
                self.partition()
        if "quietcore.trial=" in self.get("/proc/cmdline"):
            self.judge_boot()

    def judge_boot(self) -> None:
        """What the confirming unit does at boot; a boot that is not healthy is left at once."""
        confirm(self.machine(), lambda: float("inf"), lambda seconds: None, lambda machine: self.sshd_says)

    def process(
        self,
        pid: int,
        name: str,
        group: str = "/",
        allowed: str = "",
        flags: int = 0,
        policy: int = 0,
        priority: int = 0,
        tid: int = 0,
    ) -> None:
        """Start a process, or another thread of one: `tid`."""
        folder = f"/proc/{pid}/task/{tid or pid}"
        # state ppid pgrp session tty tpgid flags, then up to the start time, then up to priority and policy
        numbers = [
            "S",
            *["1", "1", "1", "0", "-1"],
            str(flags),
            *["0"] * 12,
            str(1000 * self.boots + pid),
            *["0"] * 17,
        ]
        numbers += [str(priority), str(policy), "0"]
        allowed = allowed or format_cpu_list(range(self.cpus))
        stat, status = (
            f"{tid or pid} ({name}) {' '.join(numbers)}\n",
            f"Name:\t{name}\nCpus_allowed_list:\t{allowed}\n",
        )
        self.put(f"{folder}/stat", stat)
        self.put(f"{folder}/status", status)
        self.put(f"/proc/{pid}/cgroup", f"0::{group}\n")
        rows = (  # fs/proc/base.c: proc_pid_limits
            ("Limit", "Soft Limit", "Hard Limit", "Units"),
            ("Max locked memory", "8388608", "8388608", "bytes"),
            ("Max open files", "1024", "524288", "files"),
            ("Max realtime priority", "0", "0", ""),
        )
        text = "".join(f"{name:25} {soft:20} {hard:20} {unit:10}\n" for name, soft, hard, unit in rows)
        self.put(f"/proc/{pid}/limits", text)

    def allowed(self, tid: int) -> str:
        """Return where a thread may run."""
        (status,) = (self.root / "proc").glob(f"[0-9]*/task/{tid}/status")
        return status.read_text().splitlines()[-1].partition(":")[2].strip()

    def _cpus(self, given: dict[str, str]) -> None:
        base = "/sys/devices/system/cpu"
        everyone = format_cpu_list(range(self.cpus))
        isolated = given.get("isolcpus", "")
        isolated = isolated.replace("managed_irq,", "").replace("domain,", "") if "domain" in isolated else ""
        for name, text in (("present", everyone), ("possible", everyone), ("online", everyone)):
            self.put(f"{base}/{name}", text + "\n")
        self.put(f"{base}/isolated", isolated + "\n")
        self.put(f"{base}/nohz_full", (given.get("nohz_full") or "(null)") + "\n")
        cores = self.cpus // self.threads
        for cpu in range(self.cpus):
            siblings = [cpu % cores + cores * thread for thread in range(self.threads)]
            self.put(f"{base}/cpu{cpu}/topology/core_cpus_list", format_cpu_list(siblings) + "\n")
            self.put(f"{base}/cpu{cpu}/topology/physical_package_id", f"{self.node(cpu)}\n")
        for node in range(self.nodes):
            members = [cpu for cpu in range(self.cpus) if self.node(cpu) == node]
            self.put(f"/sys/devices/system/node/node{node}/cpulist", format_cpu_list(members) + "\n")
            distances = " ".join("10" if other == node else "21" for other in range(self.nodes))
            self.put(f"/sys/devices/system/node/node{node}/distance", distances + "\n")

    def add_power(self, states: Sequence[tuple[str, int]] = (("POLL", 0), ("C1", 1), ("C6", 133))) -> None:
        """Give each CPU frequencies and idle states (name, µs to wake), as bare metal with intel_pstate has them."""
        base = "/sys/devices/system/cpu"
        self.put(f"{base}/cpuidle/current_driver", "intel_idle\n")
        self.put(f"{base}/intel_pstate/no_turbo", "0\n")
        for cpu in range(self.cpus):
            self.put(f"{base}/cpu{cpu}/power/pm_qos_resume_latency_us", "0\n")
            if cpu:
                self.put(f"{base}/cpu{cpu}/online", "1\n")
            for name, text in (
                ("scaling_governor", "powersave"),
                ("scaling_available_governors", "performance powersave"),
                ("energy_performance_preference", "balance_performance"),
                (
                    "energy_performance_available_preferences",
                    "default performance balance_performance balance_power power",
                ),
            ):
                self.put(f"{base}/cpu{cpu}/cpufreq/{name}", f"{text}\n")
            for number, (state, latency) in enumerate(states):
                folder = f"{base}/cpu{cpu}/cpuidle/state{number}"
                self.put(f"{folder}/name", f"{state}\n")
                self.put(f"{folder}/latency", f"{latency}\n")
                self.put(f"{folder}/disable", "0\n")

    def add_nodes(self, kib: int = 1 << 20, pages: int = 0) -> None:
        """Give each memory node its size and its own count of huge pages."""
        for node in range(self.nodes):
            folder = f"/sys/devices/system/node/node{node}"
            self.put(f"{folder}/meminfo", f"Node {node} MemTotal:        {kib} kB\n")
            self.put(f"{folder}/hugepages/hugepages-2048kB/nr_hugepages", f"{pages}\n")
            self.put(f"{folder}/compact", "")

    def set_online(self, cpu: int, online: bool) -> None:
        """Take a CPU off line, or back: the kernel forgets the core of one that is off."""
        base = "/sys/devices/system/cpu"
        now = parse_cpu_list(self.get(f"{base}/online")) - {cpu} | ({cpu} if online else set())
        self.put(f"{base}/online", format_cpu_list(now) + "\n")
        self.put(f"{base}/cpu{cpu}/online", f"{int(online)}\n")
        cores = self.cpus // self.threads
        siblings = {cpu % cores + cores * thread for thread in range(self.threads)} & now
        for sibling in siblings:
            self.put(f"{base}/cpu{sibling}/topology/core_cpus_list", format_cpu_list(siblings) + "\n")
            self.put(f"{base}/cpu{sibling}/topology/physical_package_id", f"{self.node(sibling)}\n")
        if not online:
            shutil.rmtree(self.root / f"sys/devices/system/cpu/cpu{cpu}/topology")

    def node(self, cpu: int) -> int:
        cores = self.cpus // self.threads
        return cpu % cores * self.nodes // cores

    def _interrupts(self, given: dict[str, str]) -> None:
        everyone = format_cpu_list(range(self.cpus))
        default = given.get("irqaffinity") or everyone
        self.put("/proc/irq/default_smp_affinity", format_cpu_mask(parse_cpu_list(default)) + "\n")
        rows = ["".join(f"       CPU{cpu}" for cpu in range(self.cpus))]
        counts = "          0" * self.cpus
        for number, name in ((8, "rtc0"), (24, "virtio0-req.0"), (25, "virtio1-input.0")):
            chip = "IO-APIC   8-edge" if number == 8 else "PCI-MSI 512001-edge"
            rows.append(f"{number:4}:{counts}   {chip}      {name}")
            self.put(f"/proc/irq/{number}/smp_affinity_list", default + "\n")
            self.put(f"/proc/irq/{number}/smp_affinity", format_cpu_mask(parse_cpu_list(default)) + "\n")
            first = min(parse_cpu_list(default))
            self.put(f"/proc/irq/{number}/effective_affinity_list", f"{first}\n")
        self.put("/proc/interrupts", "\n".join([*rows, f" NMI:{counts}   Non-maskable interrupts"]) + "\n")
        card = self.root / "sys/devices/pci0000:00/0000:00:02.0"
        (card / "virtio1").mkdir(parents=True, exist_ok=True)
        self.put("/sys/devices/pci0000:00/0000:00:02.0/msi_irqs/25", "msi\n")
        link = self.root / "sys/class/net/eth0/device"
        if not link.is_symlink():
            link.parent.mkdir(parents=True)
            link.symlink_to("../../../devices/pci0000:00/0000:00:02.0/virtio1")

    def partition(self) -> None:
        """Make the partition, as its unit does, from the slice's file; the kernel has its own view of that."""
        folder = "/sys/fs/cgroup/quietcore_isolated.slice"
        lines = self.get("/etc/systemd/system/quietcore_isolated.slice").splitlines()
        cpus = next(line.partition("=")[2] for line in lines if line.startswith("AllowedCPUs="))
        booted = self.get("/sys/devices/system/cpu/isolated")
        state = (
            "isolated invalid (partition config conflicts with housekeeping setup)" if booted else "isolated"
        )
        self.put(f"{folder}/cpuset.cpus.partition", state + "\n")
        self.put(f"{folder}/cpuset.cpus.effective", cpus + "\n")

    def run(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Answer like systemctl, GRUB's programs and journalctl."""
        words = tuple(command)
        self.calls.append(words)
        name = words[0].rpartition("/")[2]
        if name == "grub-mkconfig":
            if self.grub_fails:
                return subprocess.CompletedProcess(words, 1, "", "/etc/default/grub: Syntax error")
            self.update_grub("/" + str(Path(words[2]).relative_to(self.root)))
            return subprocess.CompletedProcess(words, 0, "", "")
        if name in self.programs:
            return self.programs[name](words)
        if name == "systemctl":
            return self._systemctl(words)
        if name == "grub-probe":
            said = self.boot_lies_on.get(words[1].partition("=")[2], "")
            return subprocess.CompletedProcess(words, 0, said + "\n", "")
        if name == "grub-editenv":
            return self._grub_editenv(words)
        return subprocess.CompletedProcess(words, 1, "", f"{name}: no answer")

    def _grub_editenv(self, words: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
        assert Path(words[1]) == self.root / "boot/grub/grubenv"
        values = self._variables()
        for word in words[3:]:
            name, _, value = word.partition("=")
            values.pop(name, None)
            if words[2] == "set":
                values[name] = value
        self._put_environment(values)
        return subprocess.CompletedProcess(words, 0, "", "")

    def _systemctl(self, words: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
        unit = words[-1]
        exists = unit in self.units or (self.root / "etc/systemd/system" / unit).exists()
        state = self.units.setdefault(unit, {"enabled": False, "active": False}) if exists else None
        if words[1:] == ("show", "--property=RuntimeWatchdogUSec"):
            return subprocess.CompletedProcess(words, 0, f"RuntimeWatchdogUSec={self.watchdog}\n", "")
        if words[1] == "show" and "*" in unit:
            return subprocess.CompletedProcess(words, 0, "", "")
        if words[1] == "show":
            if state is None:
                text = "LoadState=not-found\nActiveState=inactive\nUnitFileState=\n"
            else:
                text = (
                    f"LoadState=loaded\nActiveState={'active' if state['active'] else 'inactive'}\n"
                    f"UnitFileState={'enabled' if state['enabled'] else 'disabled'}\n"
                )
            return subprocess.CompletedProcess(words, 0, text, "")
        if words[1] == "reboot":
            self.boot()
        if words[1] in ("daemon-reload", "try-restart", "reboot"):
            if words[1] != "reboot" and state is not None and state["active"]:
                self.restarted(unit)
            return subprocess.CompletedProcess(words, 0, "", "")
        if state is None:
            return subprocess.CompletedProcess(words, 5, "", f"Unit {unit} not found.")
        key = "enabled" if words[1] in ("enable", "disable") else "active"
        state[key] = words[1] in ("enable", "start", "restart")
        if unit == PARTITION_UNIT and key == "active":
            if state[key]:
                self.partition()
            else:
                self.put("/sys/fs/cgroup/quietcore_isolated.slice/cpuset.cpus.partition", "member\n")
        return subprocess.CompletedProcess(words, 0, "", "")

    def restarted(self, unit: str) -> None:
        """A service starts: its process has the environment that the files of its drop-ins name."""
        if not unit.endswith(".service"):
            return
        environment: dict[str, str] = {}
        for drop_in in sorted((self.root / "etc/systemd/system" / f"{unit}.d").glob("*.conf")):
            for line in drop_in.read_text().splitlines():
                if line.startswith("EnvironmentFile="):
                    text = self.get(line.partition("=")[2])
                    environment.update(
                        dict(item.partition("=")[::2] for item in text.splitlines() if item[:1] != "#")
                    )
        self.put(f"/sys/fs/cgroup/system.slice/{unit}/cgroup.procs", "417\n")
        self.put("/proc/417/environ", "".join(f"{key}={value}\0" for key, value in environment.items()))


PAIRS = {"dirty_bytes": "dirty_ratio", "dirty_background_bytes": "dirty_background_ratio"}


class FakeMachine(Machine):
    """The fake host's kernel: moves interrupts, refuses managed ones, refuses values out of range."""

    def __init__(self, host: FakeHost) -> None:
        super().__init__(host.root, run=host.run, live=True)
        self._host = host

    def set_affinity(self, tid: int, cpus: frozenset[int]) -> None:
        """Move a thread as the kernel would."""
        found = list(self.path("/proc").glob(f"[0-9]*/task/{tid}/status"))
        if not found:
            raise OSError(errno.ESRCH, "No such process")
        if tid in self._host.stubborn:
            raise OSError(errno.EINVAL, "Invalid argument")
        for path in found:
            name = path.read_text().splitlines()[0]
            path.write_text(f"{name}\nCpus_allowed_list:\t{format_cpu_list(cpus)}\n")

    def write_value(self, path: str, value: str) -> None:
        """Write as the kernel would."""
        parts = path.split("/")
        if path.startswith("/proc/irq/") and parts[3].isdecimal():
            if int(parts[3]) in self._host.immovable:
                raise OSError(self._host.immovable_error, os.strerror(self._host.immovable_error))
            if parts[4] == "smp_affinity_list":
                cpus = parse_cpu_list(value)
                self._host.put(f"/proc/irq/{parts[3]}/smp_affinity", format_cpu_mask(cpus) + "\n")
                self._host.put(f"/proc/irq/{parts[3]}/effective_affinity_list", f"{min(cpus)}\n")
        if path.endswith("transparent_hugepage/enabled"):
            choices = ["always", "madvise", "never"]
            value = " ".join(f"[{item}]" if item == value else item for item in choices)
        if path.startswith("/sys/devices/system/cpu/cpu") and parts[-1] == "online":
            self._host.set_online(int(parts[5][3:]), value == "1")
        name = parts[-1]
        if name in PAIRS and value == "0":
            raise OSError(errno.EINVAL, "Invalid argument")
        for pair in (PAIRS, {ratio: size for size, ratio in PAIRS.items()}):
            if path.startswith("/proc/sys/vm/") and name in pair:
                self._host.put(f"/proc/sys/vm/{pair[name]}", "0\n")
        if path.startswith("/proc/sys/"):
            value = "\t".join(value.split())
        super().write_value(path, value)

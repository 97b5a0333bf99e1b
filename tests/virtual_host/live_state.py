"""Reads what the kernel prints about CPUs, interrupts and threads. Knows nothing of the project's own library."""

from dataclasses import dataclass


def cpu_list(text: str) -> set[int]:
    """Return the CPUs of a kernel list such as `0,2-5`."""
    cpus: set[int] = set()
    for part in filter(None, text.strip().split(",")):
        first, _, last = part.partition("-")
        cpus.update(range(int(first), int(last or first) + 1))
    return cpus


def boot_values(command_line: str) -> dict[str, list[str]]:
    """Return every value of each kernel parameter, in the order given."""
    found: dict[str, list[str]] = {}
    for word in command_line.split():
        name, _, value = word.partition("=")
        found.setdefault(name, []).append(value)
    return found


@dataclass(frozen=True)
class Thread:
    """A thread of a unit: where it may run, and where it last ran."""

    unit: str
    pid: int
    tid: int
    name: str
    allowed: frozenset[int]
    last_cpu: int


# For each unit a line `unit NAME`, then for each thread `pid tid allowed last-cpu name`.
THREADS_COMMAND = r"""
for unit in $(systemctl list-units --state=active --plain --no-legend 'quietcore-feed@*.service' \
              'quietcore-runtime.service' | cut -d' ' -f1); do
  echo "unit $unit"
  group=$(systemctl show --property=ControlGroup --value "$unit")
  for pid in $(cat "/sys/fs/cgroup$group/cgroup.procs"); do
    for task in /proc/$pid/task/*; do
      allowed=$(sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' $task/status)
      last=$(sed 's/.*) //' $task/stat | cut -d' ' -f37)
      echo "$pid ${task##*/} $allowed $last $(cat $task/comm)"
    done
  done
done
"""


def threads(text: str) -> list[Thread]:
    """Return the threads of the output of THREADS_COMMAND."""
    found = []
    unit = ""
    for line in text.splitlines():
        if line.startswith("unit "):
            unit = line.split()[1]
            continue
        pid, tid, allowed, last, name = line.split(maxsplit=4)
        found.append(Thread(unit, int(pid), int(tid), name, frozenset(cpu_list(allowed)), int(last)))
    return found


@dataclass(frozen=True)
class Interrupt:
    """An interrupt: its number, who uses it, where it may go, where it goes, and whether that can be changed."""

    number: int
    users: str
    affinity: frozenset[int]
    effective: frozenset[int]
    movable: bool


# Whether an interrupt can be moved is found by writing back the mask it has: a managed one refuses.
INTERRUPTS_COMMAND = r"""
for irq in /proc/irq/[0-9]*; do
  number=${irq##*/}
  # Each user of an interrupt has a folder there.
  users=$(cd $irq && for user in */; do [ -d "$user" ] && printf '%s,' "${user%/}"; done)
  [ -n "$users" ] || continue
  if cat $irq/smp_affinity 2>/dev/null | tee $irq/smp_affinity >/dev/null 2>&1; then movable=1; else movable=0; fi
  echo "$number $movable $(cat $irq/smp_affinity_list) $(cat $irq/effective_affinity_list) $users"
done
"""


def interrupts(text: str) -> list[Interrupt]:
    """Return the interrupts of the output of INTERRUPTS_COMMAND; those without users are not in it."""
    found = []
    for line in text.splitlines():
        words = line.split()
        # An interrupt that never fired may have no effective CPU yet.
        effective = words[3] if len(words) == 5 else ""
        found.append(
            Interrupt(
                int(words[0]),
                words[-1].rstrip(","),
                frozenset(cpu_list(words[2])),
                frozenset(cpu_list(effective)),
                words[1] == "1",
            )
        )
    return found

"""Kernel parameters that the kernel reads as often as they are named."""

from __future__ import annotations

_REPEATABLE = frozenset(
    (
        *(
            "acpi_osi",
            "console",
            "crashkernel",
            "dyndbg",
            "earlycon",
            "earlyprintk",
            "hugepages",
            "hugepagesz",
        ),
        *(
            "hugetlb_cma",
            "initcall_blacklist",
            "intel_iommu",
            "iommu",
            "ip",
            "mem",
            "memmap",
            "module_blacklist",
        ),
        *("mtdparts", "netconsole", "pci", "systemd.mask", "systemd.setenv", "systemd.wants", "video"),
    )
)


def repeatable(name: str) -> bool:
    """Tell whether the kernel obeys a parameter each time it is named (`hugepages=` for each size, `console=`), so that
    another one of the name is no contradiction; the same for `rd.…` of the initial RAM disk.
    """
    return name in _REPEATABLE or name.startswith("rd.")

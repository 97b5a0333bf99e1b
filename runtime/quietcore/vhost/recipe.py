"""What the guest is made of: packages, settings and the layout of its disk.

Everything that decides the content of an image is in this module or in `disk` and enters the image's key, so a
change here makes a new image and nothing else does.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from quietcore.vhost import disk

RELEASES = ("bookworm", "trixie")

PACKAGES = (
    # a minimal server: init, ssh, Python for Ansible
    "systemd,systemd-sysv,dbus,udev,kmod,openssh-server,python3,python3-apt,ca-certificates",
    # something real to tune: kernel, boot loader, a daemon that moves IRQs about
    "linux-image-cloud-amd64,initramfs-tools,zstd,grub-common,grub2-common,grub-efi-amd64-bin,irqbalance",
    # what a person or a role looks around with
    "procps,iproute2,ethtool,pciutils,less,rsync",
)

# The management interface has a fixed address (qemu's user network always looks like this): no DHCP to wait for.
_NETWORK = """[Match]
MACAddress=52:54:00:51:43:01

[Network]
Address=10.0.2.15/24
LinkLocalAddressing=no
IPv6AcceptRA=no
"""
# The second interface stands for the one that carries market data; it is up and has no address.
_DATA_NETWORK = """[Match]
MACAddress=52:54:00:51:43:02

[Network]
LinkLocalAddressing=no
IPv6AcceptRA=no

[Link]
RequiredForOnline=no
"""
MANAGEMENT_MAC = "52:54:00:51:43:01"
DATA_MAC = "52:54:00:51:43:02"

# What an image's maker writes beside the distribution's own file, as cloud images do. `no_timer_check`: on a busy
# controller the emulated timer comes too late for the kernel's test of it, which then panics.
_GRUB_DEFAULTS = """GRUB_TIMEOUT=0
GRUB_DISABLE_OS_PROBER=true
GRUB_TERMINAL="serial"
GRUB_GFXPAYLOAD_LINUX=text
GRUB_SERIAL_COMMAND="serial --unit=0 --speed=115200"
GRUB_CMDLINE_LINUX_DEFAULT=""
GRUB_CMDLINE_LINUX="console=ttyS0,115200 no_timer_check"
"""

# The image that UEFI starts: finds the root file system by its label and goes on with its grub.cfg. Without `test`
# and `loadenv` every condition in grub.cfg fails silently, and a one-shot boot (`grub-reboot`) is ignored.
_GRUB_FIRST_CONFIG = """search --no-floppy --label root --set root
set prefix=($root)/boot/grub
configfile ($root)/boot/grub/grub.cfg
"""
_GRUB_PRELOADED = (
    "part_gpt ext2 search search_label search_fs_uuid normal linux configfile serial terminal test loadenv echo gzio "
    "zstd all_video true sleep reboot"
)

_SSHD = """PermitRootLogin prohibit-password
PasswordAuthentication no
UseDNS no
"""

# Before the kernel's package arrives: only the drivers of this machine in the initrd, which emulation unpacks slowly.
_ESSENTIAL_HOOK = r"""set -eu
root="$1"
mkdir -p "$root/etc/initramfs-tools/conf.d"
printf 'MODULES=list\nCOMPRESS=zstd\n' >"$root/etc/initramfs-tools/conf.d/image.conf"
printf 'virtio_pci\nvirtio_blk\nvirtio_net\next4\n' >"$root/etc/initramfs-tools/modules"
mkdir -p "$root/etc/default"
"""

_CUSTOMIZE_HOOK = r"""set -eu
root="$1"
put() { mkdir -p "$root$(dirname "$1")"; cat >"$root$1"; }

put /etc/fstab <<'END'
LABEL=root / ext4 errors=remount-ro,noatime 0 1
END
put /etc/systemd/network/10-management.network <<'END'
@NETWORK@END
put /etc/systemd/network/20-data.network <<'END'
@DATA_NETWORK@END
put /etc/ssh/sshd_config.d/10-image.conf <<'END'
@SSHD@END
put /etc/default/grub.d/10-image.cfg <<'END'
@GRUB_DEFAULTS@END
[ -e "$root/etc/default/grub" ] || cp "$root/usr/share/grub/default/grub" "$root/etc/default/grub"
put /root/.ssh/authorized_keys <<'END'
@AUTHORIZED_KEY@
END
chmod 700 "$root/root/.ssh"
chmod 600 "$root/root/.ssh/authorized_keys"
# A fixed machine id: an empty one would make the first boot apply all presets again.
put /etc/machine-id <<'END'
@MACHINE_ID@
END
put /etc/hostname <<'END'
quietcore
END
put /etc/hosts <<'END'
127.0.0.1 localhost
127.0.1.1 quietcore
END

chroot "$root" systemctl enable systemd-networkd.service ssh.service
# Nothing here waits for a network, and there is none to update from.
chroot "$root" systemctl disable systemd-networkd-wait-online.service apt-daily.timer apt-daily-upgrade.timer
chroot "$root" systemctl mask systemd-networkd-wait-online.service

put /tmp/first.cfg <<'END'
@GRUB_FIRST_CONFIG@END
chroot "$root" grub-mkstandalone -O x86_64-efi -o /boot/BOOTX64.EFI --compress=no --locales= --fonts= --themes= \
  --modules="@GRUB_PRELOADED@" boot/grub/grub.cfg=/tmp/first.cfg
rm "$root/tmp/first.cfg"
mkdir -p "$root/boot/grub"
chroot "$root" grub-editenv /boot/grub/grubenv create
# grub-probe cannot see the disk from here: until grub.cfg is written, answer in its place what it will find.
mv "$root/usr/sbin/grub-probe" "$root/usr/sbin/grub-probe.real"
put /usr/sbin/grub-probe <<'END'
#!/bin/sh
for word; do case "$word" in
  --target=device) echo /dev/vda2; exit ;;
  --target=fs) echo ext2; exit ;;
  --target=partmap) echo gpt; exit ;;
  --target=fs_uuid) echo @ROOT_UUID@; exit ;;
  --target=fs_label) echo root; exit ;;
  --target=*) exit 0 ;;
esac; done
END
chmod 755 "$root/usr/sbin/grub-probe"
# The same goes for the link by which grub-mkconfig decides to write root=UUID=…; and whether the controller's own
# firmware is UEFI must not decide what the image contains.
chmod -x "$root/etc/grub.d/30_uefi-firmware"
mkdir -p "$root/dev/disk/by-uuid"
ln -s ../../null "$root/dev/disk/by-uuid/@ROOT_UUID@"
chroot "$root" grub-mkconfig -o /boot/grub/grub.cfg
rm -r "$root/dev/disk"
mv "$root/usr/sbin/grub-probe.real" "$root/usr/sbin/grub-probe"
# How apt reached the controller's mirror is the controller's business.
rm -f "$root/etc/apt/apt.conf.d/99mmdebstrap" "$root/etc/dpkg/dpkg.cfg.d/99mmdebstrap"
"""


@dataclass(frozen=True)
class Recipe:
    """Everything that makes an image: the release and the public key that may log in as root."""

    release: str
    authorized_key: str

    @property
    def packages(self) -> str:
        """Return the packages, separated by commas."""
        return ",".join(PACKAGES)

    @property
    def essential_hook(self) -> str:
        """Return the shell script that runs before all but the essential packages are installed."""
        return _ESSENTIAL_HOOK

    @property
    def customize_hook(self) -> str:
        """Return the shell script that runs once every package is installed; ``$1`` is the root folder."""
        script = _CUSTOMIZE_HOOK
        for name, text in {
            "NETWORK": _NETWORK,
            "DATA_NETWORK": _DATA_NETWORK,
            "SSHD": _SSHD,
            "GRUB_DEFAULTS": _GRUB_DEFAULTS,
            "GRUB_FIRST_CONFIG": _GRUB_FIRST_CONFIG,
            "GRUB_PRELOADED": _GRUB_PRELOADED,
            "ROOT_UUID": disk.ROOT_UUID,
            "AUTHORIZED_KEY": self.authorized_key.strip(),
            "MACHINE_ID": hashlib.sha256(b"quietcore guest " + self.release.encode()).hexdigest()[:32],
        }.items():
            script = script.replace(f"@{name}@", text)
        return script

    @property
    def key(self) -> str:
        """Return the name of the image: the release and a hash of all that makes its content."""
        made_of = {
            "release": self.release,
            "packages": self.packages,
            "essential": self.essential_hook,
            "customize": self.customize_hook,
            "disk": disk.layout_key(),
        }
        digest = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()
        return f"{self.release}-{digest[:12]}"

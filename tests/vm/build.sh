#!/usr/bin/env bash
# Build the disk of a bare Debian with systemd and all that `./lab test` installs, for `run.sh`.
# Usage: build.sh SUITE FOLDER. Writes FOLDER/{disk.img,vmlinuz,initrd.img}: all of them, or none.
#
# The checkout itself is not on the disk, only what is installed for it: it comes in at each boot.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.."
. tests/bare_debian.sh

suite=$1 into=$2
# What a Debian machine has beyond minbase; netlab's own packages are for `./lab` to install.
BASE=systemd,systemd-sysv,udev,dbus,libpam-systemd,sudo,procps,kmod,git,python3-venv,initramfs-tools,zstd
DISK_SIZE=6G

place=$(mktemp -d /var/tmp/netlab-vm.XXXXXX)
trap 'rm -rf --one-file-system "$place"' EXIT
root=$place/debian

make_debian "$root" "$suite" "$BASE"
put_checkout "$root/opt/netlab"

# Before the kernel's package makes its initrd: only what this machine boots from.
mkdir -p "$root/etc/initramfs-tools/conf.d"
echo 'MODULES=list' >"$root/etc/initramfs-tools/conf.d/netlab"
printf '%s\n' virtio_pci virtio_blk ext4 >"$root/etc/initramfs-tools/modules"

# What this machine has fetched or built already need not be fetched again; images are made of the
# packages of one suite.
borrowed=(test-tools)
if grep -qs "VERSION_CODENAME=$suite" /etc/os-release; then borrowed+=(images/packages images/busybox); fi
for path in "${borrowed[@]}"; do
  [ -d "/var/lib/netlab/$path" ] || continue
  mkdir -p "$root/var/lib/netlab/$(dirname "$path")"
  cp -a "/var/lib/netlab/$path" "$root/var/lib/netlab/$path"
done

echo "==> the cloud kernel, and ./lab install with the tests' tools"
work_in "$root" "export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  apt-get install -y --no-install-recommends linux-image-cloud-amd64 >/var/log/kernel.log 2>&1 || { tail -n 5 /var/log/kernel.log; exit 1; }
  cd /opt/netlab && ./lab test --prepare
  # the machine reads what is on it as a user's does: nothing of this build
  apt-get clean
  rm -rf /root/.cache /var/lib/apt/lists/* /var/lib/netlab/test-tools/kubectl-*/helm"

echo netlab-vm >"$root/etc/hostname"
rm -f "$root/etc/resolv.conf"
echo '/dev/vda / ext4 defaults,noatime 0 0' >"$root/etc/fstab"
install -m 0644 tests/vm/netlab-test.service "$root/etc/systemd/system/"
install -D -m 0755 tests/vm/start.sh "$root/usr/local/sbin/netlab-test"
ln -s ../netlab-test.service "$root/etc/systemd/system/multi-user.target.wants/netlab-test.service"
# Only the installed things stay; run.sh brings the files of the checkout.
find "$root/opt/netlab" -mindepth 1 -maxdepth 1 ! -name .venv -exec rm -rf {} +

echo "==> writing the disk"
mkdir -p "$into"
cp -L "$root/boot/vmlinuz-"* "$place/vmlinuz"
cp -L "$root/boot/initrd.img-"* "$place/initrd.img"
mkfs.ext4 -q -F -O ^has_journal -E lazy_itable_init=1 -m 0 -d "$root" "$place/disk.img" $DISK_SIZE
mv "$place/disk.img" "$place/vmlinuz" "$place/initrd.img" "$into/"
touch "$into/whole"

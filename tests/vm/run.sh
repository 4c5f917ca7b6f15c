#!/usr/bin/env bash
# Boot a Debian with systemd, cgroup v2, crun and all kernel modules, run tests in it, power it off.
# Called by `sudo ./lab test --vm`.
#
#   run.sh [--suite bookworm|trixie] [core|whole]     what job.sh knows by that name
#   run.sh [--suite bookworm|trixie] -- COMMAND…      anything else, from the root of the checkout
#
# The disk is built once and kept in CACHE by the hash of what it is made of. Nothing is written to
# it: every boot begins with the same machine. The files of the checkout come as a second disk.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.."
. tests/bare_debian.sh

CACHE=/var/cache/netlab/vm
MEMORY_MB=3072
BOOT_TIMEOUT_S=2400
suite=bookworm job=(whole)

fail() { printf 'vm: %s\n' "$*" >&2; exit 1; }

while [ $# -gt 0 ]; do
  case $1 in
    --suite) suite=${2:-}; shift 2 ;;
    core | whole) job=("$1"); shift ;;
    --) job=("$@"); break ;;
    *) fail "unknown word $1; usage: ./lab test --vm [--suite bookworm|trixie] [core|whole|-- COMMAND]" ;;
  esac
done
case $suite in bookworm | trixie) ;; *) fail "suite $suite is none of bookworm, trixie" ;; esac

missing=()
for item in qemu-system-x86:qemu-system-x86_64 debootstrap:debootstrap e2fsprogs:mkfs.ext4; do
  command -v "${item#*:}" >/dev/null || missing+=("${item%%:*}")
done
if [ ${#missing[@]} -gt 0 ]; then
  echo "==> installing Debian packages: ${missing[*]}"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null ||
    fail "these packages are needed and could not be installed: ${missing[*]}"
fi

mkdir -p "$CACHE"
exec 9>"$CACHE/lock"
flock -n 9 || { echo "==> waiting for another virtual machine to end"; flock 9; }

key=$({ echo "$suite"; sed -n '/_PACKAGES=(/,/)$/p;/^TEST_KUBECTLS/p' lab; sed '/^\[tool\./Q' pyproject.toml
  cat netlab/__init__.py tests/bare_debian.sh tests/vm/build.sh tests/vm/start.sh tests/vm/netlab-test.service
} | sha256sum | cut -c1-12)
machine=$CACHE/$suite-$key
if [ ! -e "$machine/whole" ]; then
  rm -rf "$CACHE/$suite-"*
  ./tests/vm/build.sh "$suite" "$machine"
fi

work=$(mktemp -d /var/tmp/netlab-vm-run.XXXXXX)
qemu=
end() { [ -z "$qemu" ] || kill "$qemu" 2>/dev/null || true; rm -rf "$work"; }
trap end EXIT
put_checkout "$work/checkout"
echo "exec ./tests/vm/job.sh ${job[*]@Q}" >"$work/checkout/vm-job"
# Bytecode is version- and time-stamped: where it does not fit, it is not used.
/usr/bin/python3 -m compileall -q "$work/checkout/netlab" "$work/checkout/tests" || true
tar -C "$work/checkout" -cf "$work/checkout.tar" .

accelerator=(-accel "tcg,thread=multi" -cpu Nehalem)
if [ -w /dev/kvm ] && grep -qE '^flags.*(vmx|svm)' /proc/cpuinfo; then accelerator=(-accel kvm -cpu host); fi

log=$CACHE/$suite.log console=$CACHE/$suite.console
: >"$work/out"
begun=$SECONDS
echo "==> booting $(basename "$machine") ($(echo "${accelerator[1]}" | cut -d, -f1)); what the kernel and systemd say goes to $console"
nice -n 1 timeout --foreground $BOOT_TIMEOUT_S qemu-system-x86_64 -nodefaults -no-user-config -no-reboot -display none -M q35 \
  "${accelerator[@]}" -smp 2 -m $MEMORY_MB \
  -kernel "$machine/vmlinuz" -initrd "$machine/initrd.img" \
  -append "root=/dev/vda rw console=ttyS0 quiet panic=-1 mitigations=off systemd.show_status=1" \
  -drive "file=$machine/disk.img,format=raw,if=virtio,snapshot=on" \
  -drive "file=$work/checkout.tar,format=raw,if=virtio,readonly=on" \
  -object rng-random,filename=/dev/urandom,id=entropy -device virtio-rng-pci,rng=entropy \
  -serial "file:$console" -serial "file:$work/out" 9>&- &
qemu=$!
tail -f --pid "$qemu" "$work/out" | stdbuf -o0 tr -d '\r' | tee "$log" || true
wait "$qemu" || true
code=$(sed -n 's/^netlab-vm: exit \([0-9]*\).*/\1/p' "$log" | tail -n 1)
echo "==> $((SECONDS - begun)) s from power on to off; the log is $log"
[ -n "$code" ] || fail "the machine ended without saying how its job went; see $console"
exit "$code"

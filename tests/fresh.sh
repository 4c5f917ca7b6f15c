#!/usr/bin/env bash
# Prove the README's first command on a fresh machine: install and demo inside a bare Debian 12
# root made by debootstrap, where nothing else is installed. Called by `sudo ./lab test --fresh`.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."

[ "$(id -u)" = 0 ] || { echo "fresh: root is needed; run: sudo ./lab test --fresh" >&2; exit 1; }
if ! command -v debootstrap >/dev/null; then
  apt-get update -qq && apt-get install -y --no-install-recommends debootstrap >/dev/null
fi

root=$(mktemp -d /var/tmp/netlab-fresh.XXXXXX)
# A killed run must leave nothing mounted: everything is mounted in a namespace of its own.
trap 'rm -rf --one-file-system "$root"' EXIT

# Where this machine is a Debian, use the mirror it uses itself.
mirror=()
if [ -r /etc/debian_version ] && command -v apt-get >/dev/null; then
  site=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 2>/dev/null | awk '$2 ~ /bookworm$/ {print $1; exit}')
  [ -z "$site" ] || mirror=("$site")
fi

echo "==> debootstrap: a bare Debian 12 in $root"
debootstrap --variant=minbase bookworm "$root/debian" "${mirror[@]}" >"$root/debootstrap.log" 2>&1 ||
  { tail -n 5 "$root/debootstrap.log" >&2; exit 1; }

mkdir -p "$root/debian/opt/netlab"
git ls-files -z --cached --others --exclude-standard | tar --null --files-from=- -c | tar -x -C "$root/debian/opt/netlab"

# The machine's own way to its package archives, so that it works behind a proxy or a mirror too.
rm -f "$root/debian/etc/apt/sources.list"
for path in /etc/apt/apt.conf.d /etc/apt/sources.list /etc/apt/sources.list.d /etc/resolv.conf \
    /etc/ssl/certs/ca-certificates.crt /etc/hosts; do
  [ -e "$path" ] || continue
  mkdir -p "$root/debian$(dirname "$path")"
  cp -aL "$path" "$root/debian$(dirname "$path")/"
done
cp -L "${PIP_CERT:-/etc/ssl/certs/ca-certificates.crt}" "$root/debian/root/authorities.pem"

cat >"$root/inside.sh" <<'INSIDE'
set -euo pipefail
root=$1
mount --make-rprivate /
mount --bind "$root/debian" "$root/debian"
mount -t proc proc "$root/debian/proc"
mount -t tmpfs tmpfs "$root/debian/run"
mount --rbind /sys "$root/debian/sys"
mount --rbind /dev "$root/debian/dev"
# pivot_root, not chroot: entering a container's mount namespace later must not lead out again.
mkdir -p "$root/debian/.old"
cd "$root/debian"
pivot_root . .old
exec /usr/bin/env -i HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
  LANG=C.UTF-8 ${PIP_INDEX_URL:+PIP_INDEX_URL="$PIP_INDEX_URL"} PIP_CERT=/root/authorities.pem \
  chroot . /bin/bash -c 'umount -l /.old && rmdir /.old && cd /opt/netlab && ./lab demo && time ./lab demo'
INSIDE
unshare --mount --pid --fork --kill-child bash "$root/inside.sh" "$root"
echo "==> install and demo work in a bare Debian 12"

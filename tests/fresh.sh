#!/usr/bin/env bash
# Prove the README's first command on a fresh machine: install and demo inside a bare Debian 12
# root made by debootstrap, where nothing else is installed. Called by `sudo ./lab test --fresh`.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
. tests/bare_debian.sh

[ "$(id -u)" = 0 ] || { echo "fresh: root is needed; run: sudo ./lab test --fresh" >&2; exit 1; }
if ! command -v debootstrap >/dev/null; then
  apt-get update -qq && apt-get install -y --no-install-recommends debootstrap >/dev/null
fi

place=$(mktemp -d /var/tmp/netlab-fresh.XXXXXX)
# A killed run must leave nothing mounted: everything is mounted in a namespace of its own.
trap 'rm -rf --one-file-system "$place"' EXIT

make_debian "$place/debian" bookworm
# With the machine's own archives, its updates among them, where it is a Debian 12 itself.
if grep -qs VERSION_CODENAME=bookworm /etc/os-release; then
  rm -f "$place/debian/etc/apt/sources.list"
  for path in /etc/apt/sources.list /etc/apt/sources.list.d; do
    [ ! -e "$path" ] || cp -aL "$path" "$place/debian/etc/apt/"
  done
fi
put_checkout "$place/debian/opt/netlab"
work_in "$place/debian" 'cd /opt/netlab && ./lab demo && time ./lab demo'
echo "==> install and demo work in a bare Debian 12"

# Bare Debians in a folder: made, given this machine's way to its packages, and worked in.
# Sourced by fresh.sh and vm/build.sh, from the root of the checkout.

own_mirror() {
  # Where this machine is a Debian, the mirror it uses itself; nothing elsewhere.
  [ -r /etc/debian_version ] && command -v apt-get >/dev/null || return 0
  apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 2>/dev/null |
    awk -v own="$(. /etc/os-release; echo "${VERSION_CODENAME:-}")" '$2 == own {print $1; exit}'
}

make_debian() {
  # $1: folder; $2: suite; $3: further packages, with commas.
  local mirror
  mirror=$(own_mirror)
  echo "==> debootstrap: a bare Debian $2"
  debootstrap --variant=minbase ${3:+--include="$3"} "$2" "$1" ${mirror:+"$mirror"} >"$1.log" 2>&1 ||
    { tail -n 5 "$1.log" >&2; return 1; }
  # The machine's own way to its package archives, so that it works behind a proxy or a mirror too.
  local path
  for path in /etc/apt/apt.conf.d /etc/resolv.conf /etc/ssl/certs/ca-certificates.crt /etc/hosts; do
    [ -e "$path" ] || continue
    mkdir -p "$1$(dirname "$path")"
    cp -aL "$path" "$1$(dirname "$path")/"
  done
  cp -L "${PIP_CERT:-/etc/ssl/certs/ca-certificates.crt}" "$1/root/authorities.pem"
}

put_checkout() {
  # $1: folder that gets the files of this checkout, committed or not.
  mkdir -p "$1"
  git ls-files -z --cached --others --exclude-standard | tar --null --files-from=- -c | tar -x -C "$1"
}

work_in() {
  # $1: root; $2: a line for the shell inside. All that is mounted for it ends with it.
  unshare --mount --pid --fork --kill-child bash -s "$1" "$2" <<'INSIDE'
set -euo pipefail
mount --make-rprivate /
mount --bind "$1" "$1"
mount -t proc proc "$1/proc"
mount -t tmpfs tmpfs "$1/run"
mount --rbind /sys "$1/sys"
mount --rbind /dev "$1/dev"
# pivot_root, not chroot: entering a container's mount namespace later must not lead out again.
mkdir -p "$1/.old"
cd "$1"
pivot_root . .old
exec /usr/bin/env -i HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
  LANG=C.UTF-8 ${PIP_INDEX_URL:+PIP_INDEX_URL="$PIP_INDEX_URL"} PIP_CERT=/root/authorities.pem \
  chroot . /bin/bash -c "umount -l /.old && rmdir /.old && $2" </dev/null
INSIDE
}

#!/usr/bin/env bash
# Inside the virtual machine: what `./lab test --vm core`, `whole` and `-- COMMAND` mean.
#
# Every step runs whatever became of the others; the end tells which went wrong and how long each took.
set -uo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.."

failed=() times=()

step() {
  # $1: what is tried; then the command.
  local name=$1 begun=$SECONDS
  shift
  printf '\n==> %s\n' "$name"
  "$@" || failed+=("$name")
  times+=("$(printf '%5d s  %s' $((SECONDS - begun)) "$name")")
}

tests() { .venv/bin/python -m pytest -p no:cacheprovider --timeout 600 --durations 10 -rfE "$@"; }
two_at_a_time() { tests -n 2 --dist loadfile "$@"; }

only_runtime() {
  # $1: the OCI runtime that this machine has from here on.
  local name
  for name in crun runc; do
    [ ! -e "/usr/sbin/$name.aside" ] || mv "/usr/sbin/$name.aside" "/usr/sbin/$name"
    [ "$name" = "$1" ] || mv "$(command -v "$name")" "/usr/sbin/$name.aside"
  done
}

iptables_variant() {
  # $1: nft or legacy.
  update-alternatives --quiet --set iptables "/usr/sbin/iptables-$1"
  update-alternatives --quiet --set ip6tables "/usr/sbin/ip6tables-$1"
}

machine() {
  uname -srv
  python3 --version
  for name in crun runc conmon; do "$name" --version | head -n 1; done
  iptables --version
  systemctl --version | head -n 1
  [ "$(stat -fc %T /sys/fs/cgroup)" = cgroup2fs ] && echo "cgroup v2 only"
}

kernel_modules() {
  # What the machines netlab was measured on lack, and users' kernels have.
  local name
  for name in sch_netem ip_vs ip_vs_rr dummy ipvlan vxlan wireguard nfnetlink_log; do
    modprobe -n -q "$name" && echo "$name is there" || { echo "$name is missing"; return 1; }
  done
}

vagrant() {
  # The Vagrantfile's own provisioning, on a machine that has its address, as the box would.
  mkdir -p /vagrant
  tar -xf /dev/vdb -C /vagrant
  ip link add eth1 type dummy && ip address add 10.100.199.200/24 dev eth1 && ip link set eth1 up
  sed -n '/<<~SCRIPT/,/^ *SCRIPT/{//!p}' Vagrantfile | bash &&
    netlab up --name vagrant &&
    ! ip -brief link show netlab0 2>/dev/null &&
    netlab get nodes -o wide | grep 10.100.199.200 &&
    netlab down --name vagrant
  local code=$?
  ip link del eth1
  return $code
}

core() {
  step "what machine this is" machine
  only_runtime crun
  step "crun: rights" two_at_a_time --dist load tests/system/test_runtime_rights.py
  step "a lab in the machine's own network, systemd, teardown" \
    tests tests/vm -k "doctor or readme or login or shutdown"
}

whole() {
  step "what machine this is" machine
  step "kernel modules" kernel_modules
  only_runtime crun
  step "a lab in the machine's own network, systemd, teardown" tests tests/vm
  step "the demo" ./lab demo
  step "what the Vagrantfile does" vagrant
  step "crun: containers" two_at_a_time tests/system/test_runtime*.py tests/system/test_attach.py
  step "crun: pods, streams, teardown" two_at_a_time tests/e2e/test_pod_rights.py tests/e2e/test_pod_streams.py tests/e2e/test_life.py
  only_runtime runc
  step "runc: containers" two_at_a_time tests/system/test_runtime*.py
  step "runc: the demo" ./lab demo
  only_runtime crun
  iptables_variant legacy
  step "iptables-legacy: rules" two_at_a_time tests/system/test_net.py tests/system/test_proxy.py
  step "iptables-legacy: a lab in the machine's own network" tests tests/vm
}

case "${1:-}" in
  --) shift; eval "$*"; exit ;;
  core | whole) "$1" ;;
  *) echo "job.sh: no job ${1:-}"; exit 2 ;;
esac
printf '\n==> how long it took\n'
printf '%s\n' "${times[@]}"
[ ${#failed[@]} = 0 ] || { printf '\n==> went wrong:\n'; printf '    %s\n' "${failed[@]}"; exit 1; }

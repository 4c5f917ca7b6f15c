#!/bin/bash
# Inside the machine: unpack the checkout that came as a second disk (a tar file as it is), run what
# was asked, and say how it ended. run.sh waits for the last line.
set -uo pipefail
mkdir -p /opt/netlab
tar -xf /dev/vdb -C /opt/netlab
cd /opt/netlab
bash ./vm-job
echo "netlab-vm: exit $?"

"""A container sees its pod, not the host."""

from __future__ import annotations

import pytest

from tests.support.lab import Lab

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def pod(lab: Lab) -> Lab:
    lab.kubectl("run", "box", "--image=netlab/tools", "--", "sleep", "3600")
    lab.kubectl("wait", "--for=condition=Ready", "pod/box", "--timeout=30s")
    return lab


def _in(lab: Lab, script: str) -> str:
    return lab.kubectl("exec", "box", "--", "sh", "-c", script, check=False)


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        pytest.param("cat /etc/shadow 2>/dev/null | wc -c", "0", id="no password hashes"),
        pytest.param("ls -A /root | wc -l", "0", id="not root's files"),
        pytest.param("touch /usr/x 2>/dev/null && echo written", "", id="/usr is read-only"),
        pytest.param(
            "echo 1 2>/dev/null >/proc/sys/net/ipv4/ip_forward && echo set", "", id="/proc/sys"
        ),
        pytest.param("set -- /proc/[0-9]*; echo $#", "2", id="own processes only"),
        pytest.param("ip -o link | wc -l", "2", id="lo and eth0"),
        pytest.param("mount -t tmpfs x /mnt 2>/dev/null && echo mounted", "", id="no mounts"),
        pytest.param("mknod /tmp/d b 8 0; cat /tmp/d 2>&1 | grep -c permitted", "1", id="devices"),
        pytest.param("hostname", "box", id="the pod's name"),
        pytest.param("test -e /var/lib/netlab && echo seen", "", id="not the lab's state"),
    ],
)
def test_the_host_is_out_of_reach(pod: Lab, script: str, expected: str) -> None:
    assert _in(pod, script).strip() == expected

"""Labs found by what the kernel shows of them."""

import pytest

from netlab.lab.marks import lab_of_command, lab_of_netns

STATE = "/var/lib/netlab/labs"


@pytest.mark.parametrize(
    ("netns", "lab"),
    [
        ("netlab", "netlab"),
        ("netlab-shop", "shop"),
        ("netlab-my-shop", "my-shop"),
        ("netlab_default_web_0123abcd", "netlab"),
        ("netlab-shop_kube-system_coredns-x_0123abcd", "shop"),
        ("netlabel", ""),
        ("mynetlab-shop", ""),
        ("cni-1234", ""),
    ],
)
def test_namespaces(netns, lab):
    assert lab_of_netns(netns) == lab


@pytest.mark.parametrize(
    ("line", "lab"),
    [
        (f"/x/python -P -m netlab.daemon {STATE}/shop/config.json 7", "shop"),
        (f"python3 -m netlab.daemon {STATE}/shop/config.json", "shop"),
        (f"vi netlab.daemon {STATE}/shop/config.json", ""),
        ("python -m netlab.daemon /tmp/shop/config.json 7", ""),
        (f"python -m netlab.daemon {STATE}/shop/other.json 7", ""),
        ("python -m netlab.daemon", ""),
        ("python -m netlab up", ""),
        ("", ""),
    ],
)
def test_daemons(line, lab):
    assert lab_of_command([word.encode() for word in line.split(" ")]) == lab

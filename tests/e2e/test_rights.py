"""Roles and bindings by the real kubectl, old and new, and what a pod may do."""

from __future__ import annotations

import pytest

from tests.support.client_tools import VERSIONS
from tests.support.lab import Lab

pytestmark = pytest.mark.e2e

# as kubectl prints a rule's verbs
READS = "pods [] [] [get list]"


@pytest.fixture(params=VERSIONS, scope="module")
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_roles_and_bindings(lab: Lab, version: str) -> None:
    name = f"r{version.replace('.', '-')}"
    eve = f"--as=eve-{name}"

    def kubectl(*arguments: str) -> str:
        return lab.kubectl(*arguments, version=version)

    kubectl("create", "role", name, "--verb=get,list", "--resource=pods")
    kubectl("create", "rolebinding", name, f"--role={name}", f"--user=eve-{name}")
    kubectl("create", "clusterrole", name, "--verb=get", "--resource=nodes")
    kubectl("create", "clusterrolebinding", name, f"--clusterrole={name}", f"--group=g-{name}")
    assert f"Role/{name}" in kubectl("get", "rolebinding", name, "-o", "wide")
    described = kubectl("describe", "role", name)
    assert any(" ".join(line.split()) == READS for line in described.splitlines())
    assert kubectl("auth", "can-i", "list", "pods", eve) == "yes\n"
    listed = kubectl("auth", "can-i", "--list", eve)
    assert any(" ".join(line.split()) == READS for line in listed.splitlines())
    assert kubectl("auth", "can-i", "get", "nodes", eve, f"--as-group=g-{name}").endswith("yes\n")
    assert kubectl("get", "pods", "-o", "name", eve) is not None
    for kind in ("rolebinding", "role", "clusterrolebinding", "clusterrole"):
        kubectl("delete", kind, name)


def test_view_gathers_its_rules(lab: Lab) -> None:
    path = "jsonpath={.rules[*].resources[*]}"
    assert "configmaps" in lab.kubectl("get", "clusterrole", "view", "-o", path).split()
    lab.kubectl("create", "clusterrolebinding", "v", "--clusterrole=view", "--user=vera")
    assert lab.kubectl("auth", "can-i", "watch", "services", "-A", "--as=vera") == "yes\n"
    lab.kubectl("delete", "clusterrolebinding", "v")

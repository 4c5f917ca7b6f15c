"""What ``netlab status`` says of a lab that is not well."""

import pytest

from netlab.cli.status import advice_on
from netlab.config import LabConfig
from netlab.lab.health import LabHealth, NodeState, PartState

DOWN, READY = (
    NodeState("node0", ready=ready, message="", address="", pod_cidr="") for ready in (False, True)
)
NO_DNS = PartState("dns", healthy=False, message="no answer")
AGENT = "netlab agent --name a --kubeconfig /var/lib/netlab/labs/a/pki/nodes/node0/kubeconfig"


@pytest.mark.parametrize(
    ("no_node", "node", "words"),
    [
        (True, DOWN, f"This lab's daemon runs no node; if nothing else does: {AGENT}"),
        (True, READY, "1 thing wrong. Its log is"),
        (False, DOWN, "2 things wrong. Its log is"),
    ],
)
def test_a_node_that_nobody_runs_is_started_and_not_made_anew(no_node, node, words):
    config = LabConfig(name="a", sandbox=True, no_node=no_node)
    assert advice_on(LabHealth(config, 1, nodes=(node,), parts=(NO_DNS,))).startswith(words)

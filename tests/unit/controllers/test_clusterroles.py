"""ClusterRoles that gather the rules of others."""

import msgspec

from netlab.api.rbac import ClusterRole
from netlab.controllers.actions import NOTHING
from netlab.controllers.clusterroles import decide_cluster_role

PODS = {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}
PATHS = {"verbs": ["get"], "nonResourceURLs": ["/x"]}


def role(name, rules=(), labels=None, gathers=None):
    obj = {"metadata": {"name": name, "labels": labels or {}}, "rules": list(rules)}
    if gathers is not None:
        selectors = [{"matchLabels": each} for each in gathers]
        obj["aggregationRule"] = {"clusterRoleSelectors": selectors}
    return ClusterRole.parse(obj)


def gathered(own, *others):
    decision = decide_cluster_role(own, [own, *others])
    if not decision.actions:
        return None
    return msgspec.json.decode(msgspec.json.encode(decision.actions[0].patch))["rules"]


def test_rules_come_in_order_of_names_and_once():
    others = (role("b", [PATHS, PODS], {"to": "x"}), role("a", [PODS], {"to": "x"}))
    assert gathered(role("own", gathers=[{"to": "x"}]), *others) == [PODS, PATHS]


def test_any_selector_is_enough_and_no_role_gathers_itself():
    own = role("own", [PATHS], {"to": "x"}, gathers=[{"to": "x"}, {"to": "y"}])
    assert gathered(own, role("a", [PODS], {"to": "y"})) == [PODS]


def test_what_is_gathered_goes_with_its_role():
    assert gathered(role("own", [PODS], gathers=[{"to": "x"}]), role("a", [PODS])) == []


def test_nothing_is_done_where_nothing_is_to_do():
    a = role("a", [PODS], {"to": "x"})
    assert gathered(role("own", [PODS], gathers=[{"to": "x"}]), a) is None
    assert gathered(role("own", [PATHS]), a) is None
    assert decide_cluster_role(None, [a]) is NOTHING

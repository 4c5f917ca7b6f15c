"""Whose rights a container has: its own word before its pod's, and who must not be root."""

import pytest

from netlab.api.pods import Pod
from netlab.kubelet.containers import security as security_module
from netlab.kubelet.containers.environment import ConfigError
from netlab.kubelet.containers.security import container_security, refuse_root
from netlab.runtime.cri import ContainerSecurity


def pod(own=None, whole=None):
    spec = {"containers": [{"name": "c"}]}
    if own is not None:
        spec["containers"][0]["securityContext"] = own
    if whole is not None:
        spec["securityContext"] = whole
    return Pod.parse({"metadata": {"name": "p", "namespace": "d", "uid": "u-1"}, "spec": spec})


def rights(own=None, whole=None):
    made = pod(own, whole)
    return container_security(made, made.spec.containers[0])


RIGHTS = {
    "nothing": ({}, {}, {}),
    "the pod's word": (
        {},
        {"runAsUser": 1, "runAsGroup": 2, "runAsNonRoot": True},
        {"uid": 1, "gid": 2, "run_as_non_root": True},
    ),
    "the container's before the pod's": (
        {"runAsUser": 0, "runAsGroup": 0, "runAsNonRoot": False},
        {"runAsUser": 1, "runAsGroup": 2, "runAsNonRoot": True},
        {"uid": 0, "gid": 0},
    ),
    "groups": (
        {},
        {"fsGroup": 2000, "supplementalGroups": [5, 2000, 7]},
        {"groups": (5, 2000, 7)},
    ),
    "the volumes' group comes last": (
        {},
        {"fsGroup": 3, "supplementalGroups": [5]},
        {"groups": (5, 3)},
    ),
    "only the groups it says": (
        {},
        {"supplementalGroupsPolicy": "Strict"},
        {"strict_groups": True},
    ),
    "capabilities": (
        {"capabilities": {"add": ["NET_ADMIN", "cap_sys_time"], "drop": ["all"]}},
        {},
        {"add_capabilities": ("NET_ADMIN", "SYS_TIME"), "drop_capabilities": ("ALL",)},
    ),
    "privileged has no filter": (
        {"privileged": True, "seccompProfile": {"type": "RuntimeDefault"}},
        {},
        {"privileged": True},
    ),
    "no more privileges": (
        {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True},
        {},
        {"no_new_privileges": True, "read_only_root": True},
    ),
    "the pod's filter": (
        {},
        {"seccompProfile": {"type": "RuntimeDefault"}},
        {"seccomp": "RuntimeDefault"},
    ),
    "no filter after all": (
        {"seccompProfile": {"type": "Unconfined"}},
        {"seccompProfile": {"type": "RuntimeDefault"}},
        {},
    ),
    "an open /proc": ({"procMount": "Unmasked"}, {}, {"unmasked_proc": True}),
}


@pytest.mark.parametrize("case", RIGHTS)
def test_rights(case):
    own, whole, expected = RIGHTS[case]
    assert rights(own, whole) == ContainerSecurity(**expected)


def test_a_filter_of_ones_own_must_exist(tmp_path, monkeypatch):
    monkeypatch.setattr(security_module, "SECCOMP_ROOT", tmp_path)
    (tmp_path / "profile.json").write_text("{}")
    profile = {"type": "Localhost", "localhostProfile": "profile.json"}
    assert rights({"seccompProfile": profile}).seccomp == str(tmp_path / "profile.json")
    with pytest.raises(ConfigError, match=r"cannot load seccomp profile .*none\.json"):
        rights({"seccompProfile": {**profile, "localhostProfile": "none.json"}})


WHERE = '(pod: "p_d(u-1)", container: c)'

NOT_ROOT = {
    "no rule": ({}, "", None),
    "a number": ({"runAsNonRoot": True}, "1000:0", None),
    "the pod's number": ({"runAsNonRoot": True, "runAsUser": 7}, "root", None),
    "root by number": (
        {"runAsNonRoot": True},
        "0",
        f"container has runAsNonRoot and image will run as root {WHERE}",
    ),
    "root because nothing is said": (
        {"runAsNonRoot": True},
        "",
        f"container has runAsNonRoot and image will run as root {WHERE}",
    ),
    "a name": (
        {"runAsNonRoot": True},
        "www-data:1",
        "container has runAsNonRoot and image has non-numeric user (www-data), cannot verify "
        f"user is non-root {WHERE}",
    ),
    "the pod's own word is root": (
        {"runAsNonRoot": True, "runAsUser": 0},
        "1000",
        f"container's runAsUser breaks non-root policy {WHERE}",
    ),
}


@pytest.mark.parametrize("case", NOT_ROOT)
def test_who_must_not_be_root(case):
    own, user, cause = NOT_ROOT[case]
    made = pod(own)
    one = made.spec.containers[0]
    if cause is None:
        refuse_root(made, one, container_security(made, one), user)
        return
    with pytest.raises(ConfigError) as error:
        refuse_root(made, one, container_security(made, one), user)
    assert str(error.value) == cause

"""Kubeconfig files: found, read without PyYAML where possible, merged, overridden by flags."""

import base64
import json
import os

import pytest
import yaml

from netlab.client import kubeconfig
from netlab.client.kubeconfig import config_paths, load_config, resolve
from netlab.client.plain_yaml import parse_plain_yaml
from netlab.errors import UsageError

AS_WRITTEN = """\
apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: QUFB
    server: https://127.0.0.1:6443
  name: netlab
- cluster:
    insecure-skip-tls-verify: true
    server: "https://[::1]:6443"
  name: other
contexts:
- context:
    cluster: netlab
    namespace: shop
    user: admin
  name: netlab
- context: {}
  name: 'empty'
current-context: netlab
kind: Config
preferences: {}
users:
- name: admin
  user:
    client-certificate-data: Q0VSVA==
    client-key-data: S0VZ
"""


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("as client-go writes it", AS_WRITTEN),
        ("indented sequences", "a:\n  - b: c\n    d: e\n  - f\nx: y\n"),
        ("comments", "# c\n---\na: b\n\n# d\nc:\n  d: 'e f'\n"),
        ("null", "a:\nb: null\nc: ~\n"),
        ("json", '{"a": ["b", {"c": true}]}'),
        ("url", "server: https://h:1/p\n"),
    ],
)
def test_plain_yaml_reads_what_pyyaml_reads(name, text):
    assert parse_plain_yaml(text) == yaml.safe_load(text)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("block scalar", "a: |\n  b\n"),
        ("flow", "a: [b, c]\n"),
        ("anchor", "a: &x b\nc: *x\n"),
        ("tag", "a: !!str b\n"),
        ("trailing comment", "a: b # c\n"),
        ("escape", 'a: "b\\n"\n'),
        ("folded plain", "a: b\n  c\n"),
        ("two documents", "a: b\n---\nc: d\n"),
        ("tab", "a:\tb\n"),
        ("no mapping", "just words\n"),
        ("duplicate key", "a: b\na: c\n"),
        ("bad indentation", "a:\n    b: c\n  d: e\n"),
    ],
)
def test_plain_yaml_leaves_the_rest_to_others(name, text):
    assert parse_plain_yaml(text) is None


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    return tmp_path


def write(path, text):
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return str(path)


def test_default_place(home):
    assert config_paths() == [str(home / ".kube" / "config")]
    write(home / ".kube" / "config", AS_WRITTEN)
    access = resolve({})
    assert access.server == "https://127.0.0.1:6443"
    assert (access.ca, access.cert, access.key) == (b"AAA", b"CERT", b"KEY")
    assert (access.context, access.namespace) == ("netlab", "shop")
    assert not access.namespace_is_set


def test_several_files_are_merged_first_wins(home, monkeypatch):
    one = write(
        home / "one", "current-context: a\ncontexts:\n- name: a\n  context:\n    cluster: c\n"
    )
    two = write(
        home / "two",
        "current-context: b\nclusters:\n- name: c\n  cluster:\n    server: http://x:1\n"
        "contexts:\n- name: a\n  context:\n    cluster: never\n",
    )
    monkeypatch.setenv("KUBECONFIG", os.pathsep.join([one, str(home / "missing"), two]))
    assert load_config()["current-context"] == "a"
    assert resolve({}).server == "http://x:1"


def test_flags_win(home):
    path = write(home / "c", AS_WRITTEN)
    flags = {"kubeconfig": path, "namespace": "n", "token": "t", "server": "h:1", "as": "bob"}
    access = resolve({**flags, "as-group": ["a", "b"]})
    assert (access.server, access.namespace) == ("http://h:1", "n")
    assert access.namespace_is_set
    assert access.headers == {"Authorization": "Bearer t", "Impersonate-User": "bob"}
    assert access.as_groups == ("a", "b")
    assert resolve({"kubeconfig": path, "cluster": "other"}).insecure
    assert not resolve(
        {"kubeconfig": path, "cluster": "other", "insecure-skip-tls-verify": False}
    ).insecure


def test_paths_count_from_their_file(home):
    write(home / "pki" / "ca", "CA")
    write(home / "pki" / "token", "tok\n")
    path = write(
        home / "pki" / "config",
        "current-context: x\nclusters:\n- name: x\n  cluster:\n    server: https://h\n"
        "    certificate-authority: ca\ncontexts:\n- name: x\n  context:\n    cluster: x\n"
        "    user: u\nusers:\n- name: u\n  user:\n    tokenFile: token\n",
    )
    access = resolve({"kubeconfig": path})
    assert access.ca == b"CA"
    assert access.headers == {"Authorization": "Bearer tok"}


def test_basic_auth_and_plugins(home):
    plugin = home / "plugin"
    plugin.write_text('#!/bin/sh\necho "{\\"status\\": {\\"token\\": \\"from-$KIND\\"}}"\n')
    plugin.chmod(0o755)
    config = {
        "clusters": [{"name": "c", "cluster": {"server": "https://h"}}],
        "users": [
            {"name": "basic", "user": {"username": "u", "password": "p"}},
            {
                "name": "plugin",
                "user": {
                    "exec": {
                        "command": str(plugin),
                        "apiVersion": "client.authentication.k8s.io/v1",
                        "env": [{"name": "KIND", "value": "env"}],
                    }
                },
            },
        ],
    }
    path = write(home / "c", json.dumps(config))
    basic = resolve({"kubeconfig": path, "cluster": "c", "user": "basic"})
    assert basic.headers["Authorization"] == "Basic " + base64.b64encode(b"u:p").decode()
    token = resolve({"kubeconfig": path, "cluster": "c", "user": "plugin"})
    assert token.headers["Authorization"] == "Bearer from-env"


@pytest.mark.parametrize(
    ("name", "flags", "message"),
    [
        ("missing file", {"kubeconfig": "/nowhere"}, "stat /nowhere: no such file or directory"),
        ("unknown context", {"context": "x"}, 'context "x" does not exist'),
        ("unknown cluster", {"cluster": "x"}, 'cluster "x" does not exist'),
        ("unknown user", {"user": "x"}, 'user "x" does not exist'),
        ("missing key", {"client-key": "/k"}, "unable to read /k: no such file or directory"),
    ],
)
def test_mistakes(home, name, flags, message):
    with pytest.raises(UsageError, match=message):
        resolve(flags)


def test_broken_file(home):
    path = write(home / "c", "a: [b\n")
    with pytest.raises(UsageError, match="error loading config file") as caught:
        resolve({"kubeconfig": path})
    assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match="it is not a kubeconfig"):
        resolve({"kubeconfig": write(home / "d", "- a\n")})


def test_in_a_pod(home, monkeypatch):
    account = home / "account"
    for name, text in (("token", "tok\n"), ("ca.crt", "CA"), ("namespace", "ns")):
        write(account / name, text)
    monkeypatch.setattr(kubeconfig, "SERVICE_ACCOUNT_DIR", str(account))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    access = resolve({})
    assert (access.server, access.namespace) == ("https://10.96.0.1:443", "ns")
    assert access.headers == {"Authorization": "Bearer tok"}
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST")
    assert resolve({}).server == "http://localhost:8080"

"""What Tab offers: verbs, options, and the names of what there is."""

import shutil
import subprocess
from datetime import datetime

import pytest
from fake_server import serve
from recorder import kubeconfig, new_cluster, run_netlab

from netlab.cli import completing
from netlab.cli.completion import CODE

NOW = datetime.fromisoformat("2026-01-01T00:00:00+00:00")


@pytest.fixture(scope="module")
def server():
    cluster = new_cluster()
    with serve(cluster) as url:
        yield cluster, url


@pytest.fixture
def offer(server, tmp_path, monkeypatch):
    cluster, url = server
    (tmp_path / "config").write_text(kubeconfig(url))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))

    def run(line):
        found = run_netlab(f"__complete {line}", url, cluster, NOW)
        assert (found["code"], found["err"]) == (0, "")
        return found["out"].splitlines()

    return run


@pytest.mark.parametrize(
    ("line", "some", "none"),
    [
        ("''", ["get", "up", "exercise"], ["__complete", "pods"]),
        ("des", ["describe"], ["get"]),
        ("get ''", ["pods", "services"], ["web"]),
        ("get --sh", ["--show-labels", "--show-kind"], ["--output"]),
        ("get nodes ''", ["node0", "node1"], ["default"]),
        ("get nodes node1 ''", ["node0"], []),
        ("get node/", ["node/node0"], ["node0"]),
        ("-n kube-system get nodes ''", ["node0"], []),
        ("get pods -o ''", ["yaml", "wide"], ["pods"]),
        ("get pods -n ''", ["default", "kube-system"], ["web"]),
        ("describe cm b", ["bare"], ["cm"]),
        ("create ''", ["configmap", "deployment", "job"], ["web"]),
        ("create secret ''", [], ["configmap"]),
        ("config use-context ''", [], ["use-context"]),
        ("config ''", ["use-context", "view"], []),
        ("scenario ''", ["run", "check", "list"], []),
        ("scenario run 0", ["00-demo"], []),
        ("exercise start ''", ["probe-port", "label"], []),
        ("image ''", ["ls", "pull"], []),
        ("up --s", ["--sandbox", "--service-cidr"], ["--name"]),
        ("exec pod -- ''", [], ["pods"]),
        ("nonsense ''", [], ["get"]),
        ("get nosuchtype ''", [], ["pods"]),
    ],
)
def test_candidates(offer, line, some, none):
    found = offer(line)
    assert set(some) <= set(found)
    assert not set(none) & set(found)
    assert found == sorted(set(found))


def test_names_of_pods_and_their_containers(offer, server):
    pods = [key for key in offer("logs ''") if key]
    assert pods == offer("get pods ''")
    assert offer(f"logs {pods[0]} -c ''")


def test_labs(monkeypatch, offer):
    monkeypatch.setattr(completing, "_labs", lambda: ["mine", "theirs"])
    for verb in ("down", "status", "shell", "scenario run 00-demo", "exercise hint label"):
        assert offer(f"{verb} --name m") == ["mine"]


def test_a_cluster_that_does_not_answer_offers_nothing(tmp_path, monkeypatch, server):
    (tmp_path / "config").write_text(kubeconfig("http://127.0.0.1:1"))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    cluster, url = server
    found = run_netlab("__complete get pods ''", url, cluster, NOW)
    assert (found["out"], found["err"], found["code"]) == ("", "", 0)


@pytest.mark.parametrize("shell", CODE)
def test_the_code_is_the_shells(shell):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    subprocess.run([shell, "-n"], input=CODE[shell].encode(), check=True)


def test_bash_asks_netlab(tmp_path):
    (tmp_path / "netlab").write_text('#!/bin/sh\nprintf "%s\\n" "[$*]"\n')
    (tmp_path / "netlab").chmod(0o755)
    script = CODE["bash"] + (
        "COMP_WORDS=(netlab get pods we); COMP_CWORD=3; _netlab; printf '%s\\n' \"${COMPREPLY[@]}\""
    )
    done = subprocess.run(
        ["bash", "-c", script],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[__complete get pods we]\n"

"""Without a lab, netlab says how to start one."""

import os
import subprocess
import sys

import pytest

KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: {current}
clusters:
- {{name: c, cluster: {{server: "{server}"}}}}
users: []
contexts:
- {{name: netlab, context: {{cluster: c}}}}
- {{name: netlab-shop, context: {{cluster: c}}}}
- {{name: work, context: {{cluster: c}}}}
"""


def run(tmp_path, *words, config=None):
    path = tmp_path / "config"
    if config is not None:
        path.write_text(config)
    return subprocess.run(
        [sys.executable, "-P", "-m", "netlab", *words],
        capture_output=True,
        text=True,
        check=False,
        env={
            "PATH": str(tmp_path),
            "HOME": str(tmp_path),
            "KUBECONFIG": str(path),
            "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
        },
    )


def test_without_a_kubeconfig(tmp_path):
    done = run(tmp_path, "get", "pods")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "The connection to the server localhost:8080 was refused - did you specify the right host "
        "or port?",
        "No kubeconfig context is set: 'sudo netlab up' starts a lab and sets one.",
    ]


def test_without_a_current_context_the_others_are_named(tmp_path):
    config = KUBECONFIG.format(current='""', server="https://127.0.0.1:1")
    (tmp_path / "kubectl").write_text("#!/bin/sh\n")
    (tmp_path / "kubectl").chmod(0o755)
    for words in (("get", "pods"), ("rollout", "status", "deploy/web")):
        said = run(tmp_path, *words, config=config).stderr
        assert "chooses one of: netlab, netlab-shop, work." in said


@pytest.mark.parametrize(
    ("current", "server", "advice"),
    [
        ("netlab", "https://127.0.0.1:1", "Lab netlab does not answer: see 'sudo netlab status'."),
        (
            "netlab-shop",
            "https://127.0.0.1:1",
            "Lab shop does not answer: see 'sudo netlab status --name shop'.",
        ),
        ("work", "https://127.0.0.1:1", ""),
    ],
)
def test_a_lab_that_does_not_answer(tmp_path, current, server, advice):
    said = run(tmp_path, "get", "pods", config=KUBECONFIG.format(current=current, server=server))
    assert "was refused" in said.stderr
    assert ("\n".join(said.stderr.splitlines()[1:])) == advice


def test_what_needs_no_cluster_says_nothing(tmp_path):
    assert "netlab up" not in run(tmp_path, "kustomize", ".").stderr

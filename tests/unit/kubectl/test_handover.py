"""What netlab lacks is run by the kubectl on the PATH, in this process's place."""

import os
import subprocess
import sys

import pytest

from netlab.kubectl import handover
from netlab.kubectl.handover import STAND_IN_MARK, find_kubectl

FAKE = """#!/bin/sh
echo "kubectl: $*"
echo "to stderr" >&2
/bin/cat
exit 7
"""


def netlab(tmp_path, *words, path=None, stdin="typed"):
    (tmp_path / "kubeconfig").write_text("current-context: work\n")
    return subprocess.run(
        [sys.executable, "-P", "-m", "netlab", *words],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={
            "PATH": str(path or tmp_path / "bin"),
            "HOME": str(tmp_path),
            "KUBECONFIG": str(tmp_path / "kubeconfig"),
            "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
        },
    )


@pytest.fixture
def with_kubectl(tmp_path):
    (tmp_path / "bin").mkdir()
    fake = tmp_path / "bin" / "kubectl"
    fake.write_text(FAKE)
    fake.chmod(0o755)
    return tmp_path


@pytest.mark.parametrize(
    "line",
    [
        "rollout status deployment/web",
        "-n shop set image deployment/web web=nginx",
        "create role reader --verb=get --resource=pods",
        "config get-clusters",
        "apply view-last-applied deploy/web",
        "get pods --subresource=status",
        "get pods --no-such-option",
        "get pods -Z",
        "apply -k folder",
        "apply -f https://example.com/web.yml",
        "get pods -o go-template={{.kind}}",
        "apply --prune -f -",
        "run web --image=nginx --overrides={}",
        "--match-server-version get pods",
    ],
)
def test_what_netlab_lacks_is_kubectls(with_kubectl, line):
    done = netlab(with_kubectl, *line.split())
    assert done.stdout == f"kubectl: {line}\ntyped"
    assert (done.stderr, done.returncode) == ("to stderr\n", 7)


def test_a_plugin_is_found(with_kubectl):
    plugin = with_kubectl / "bin" / "kubectl-tree_of"
    plugin.write_text("#!/bin/sh\n")
    plugin.chmod(0o755)
    assert netlab(with_kubectl, "tree-of", "pods").stdout == "kubectl: tree-of pods\ntyped"


@pytest.mark.parametrize(
    "line", ["gett pods", "create", "get --help", "get pods --name one", "up --no-such-option"]
)
def test_mistakes_and_netlabs_own_stay_here(with_kubectl, line):
    done = netlab(with_kubectl, *line.split())
    assert "kubectl:" not in done.stdout
    assert done.returncode != 7


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("rollout restart deploy/web", 'netlab has no "rollout"'),
        ("create ingress web", 'netlab has no "create ingress"'),
        ("get pods --no-such-option", "unknown flag: --no-such-option"),
        ("apply -k folder", "netlab does not build kustomizations (-k)"),
    ],
)
def test_without_kubectl_one_line_says_how_to_get_one(tmp_path, line, reason):
    (tmp_path / "bin").mkdir()
    done = netlab(tmp_path, *line.split())
    assert done.stdout == ""
    assert done.stderr == (
        f"error: {reason}; kubectl has it, but there is none on the PATH: "
        "'sudo ./lab install --kubectl' fetches one\n"
    )
    assert done.returncode == 1


def test_a_kubectl_that_is_netlab_is_passed_over(tmp_path, monkeypatch):
    stand_in = f"#!/bin/sh\n# {STAND_IN_MARK.decode()}\n"
    for name, text in (("one", stand_in), ("two", FAKE)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "kubectl").write_text(text)
        (tmp_path / name / "kubectl").chmod(0o755)
    (tmp_path / "three").mkdir()
    (tmp_path / "three" / "netlab").write_text("")
    (tmp_path / "three" / "netlab").chmod(0o755)
    (tmp_path / "three" / "kubectl").symlink_to("netlab")
    folders = [str(tmp_path / name) for name in ("three", "one", "two")]
    monkeypatch.setenv("PATH", os.pathsep.join(folders))
    assert find_kubectl() == f"{folders[2]}/kubectl"
    monkeypatch.setenv("PATH", os.pathsep.join(folders[:2]))
    assert find_kubectl() == ""


def test_what_is_handed_over_is_not_here():
    from netlab.cli.commands import COMMANDS
    from netlab.cli.main import load_command
    from netlab.kubectl.flags import Group

    assert not handover.VERBS & set(COMMANDS)
    for verb, words in handover.VERBS_OF_VERBS.items():
        command = load_command(verb)
        if isinstance(command, Group):
            assert not set(words) & set(command.commands)

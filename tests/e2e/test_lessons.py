"""Every lesson in scenarios/ runs from its first line to its last."""

import shutil
from pathlib import Path

import pytest

from netlab.scenario.model import load_scenario
from tests.support.lab import REPOSITORY, Lab

pytestmark = pytest.mark.e2e

LESSONS = sorted(path.parent.name for path in Path(REPOSITORY, "scenarios").glob("*/scenario.yaml"))
EXERCISES = [
    f"{lesson}/{exercise.name}"
    for lesson in LESSONS
    for exercise in load_scenario(Path(REPOSITORY, "scenarios", lesson)).exercises
]


@pytest.mark.parametrize("lesson", LESSONS)
@pytest.mark.parametrize("client", ["kubectl", "netlab"])
def test_lesson(lab: Lab, lesson: str, client: str) -> None:
    if client == "kubectl" and shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    printed = lab.netlab(
        "scenario", "check", lesson, "--name", lab.name, "--client", client, timeout_s=180
    )
    steps = printed.strip().splitlines()[-1]
    done, _, rest = steps.removeprefix(f"{lesson}: ").partition(" of ")
    assert done == rest.split()[0], printed


@pytest.mark.parametrize("exercise", EXERCISES)
def test_exercise_is_broken_until_it_is_mended(lab: Lab, exercise: str) -> None:
    def run(*words: str, check: bool = True) -> str:
        return lab.netlab(
            "exercise", *words, exercise, "--name", lab.name, check=check, timeout_s=120
        )

    run("start")
    try:
        assert "not reached yet" in run("check", check=False)
        assert run("check", "--lang", "es", check=False).splitlines()[-1].startswith("falta")
        run("solve")
        assert "reached. 'netlab exercise end" in run("check", "--wait")
        assert run("check", "--lang", "es").splitlines()[-1].startswith("Conseguido: ")
    finally:
        run("end")
    assert "was not started" in run("end")


def test_a_students_own_objects_are_not_deleted_unasked(lab: Lab) -> None:
    """Of the same names as a lesson's and an exercise's."""
    lab.kubectl("create", "configmap", "missing-key", "--from-literal=mine=1")
    lab.kubectl("create", "service", "clusterip", "go-demo-2-db", "--tcp=80")
    for words, name in (
        (["scenario", "run", "00-demo"], "service/go-demo-2-db"),
        (["scenario", "check", "00-demo"], "service/go-demo-2-db"),
        (["exercise", "start", "missing-key"], "configmap/missing-key"),
        (["exercise", "solve", "missing-key"], "configmap/missing-key"),
    ):
        done = lab.run([*lab.netlab_argv(), *words, "--name", lab.name], check=False)
        assert done.returncode == 1
        assert name in done.stderr
        assert "--replace" in done.stderr
    lab.netlab("exercise", "end", "missing-key", "--name", lab.name)
    assert "mine" in lab.kubectl("get", "configmap", "missing-key", "-o", "yaml")
    assert "go-demo-2-db" in lab.kubectl("get", "service", "go-demo-2-db")
    lab.netlab("exercise", "start", "missing-key", "--replace", "--name", lab.name)
    assert "mine" not in lab.kubectl("get", "configmap", "missing-key", "-o", "yaml")
    lab.netlab("exercise", "end", "missing-key", "--name", lab.name)
    lab.kubectl("delete", "service", "go-demo-2-db")

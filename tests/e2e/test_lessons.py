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
        run("solve")
        run("check", "--wait")
    finally:
        run("end")

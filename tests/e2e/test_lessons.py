"""Every lesson in scenarios/ runs from its first line to its last."""

import shutil
from pathlib import Path

import pytest

from tests.support.lab import REPOSITORY, Lab

pytestmark = pytest.mark.e2e

LESSONS = sorted(path.parent.name for path in Path(REPOSITORY, "scenarios").glob("*/scenario.yaml"))


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

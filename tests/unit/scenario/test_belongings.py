"""A lesson removes what it made, and never what a student made before it."""

import json
from pathlib import Path

import pytest
import yaml

from netlab.errors import UsageError
from netlab.scenario.belongings import Belongings, names_in
from netlab.scenario.model import load_scenario


def listed(*names):
    items = [{"kind": n.split("/")[0], "metadata": {"name": n.split("/")[1]}} for n in names]
    if len(items) == 1:
        return json.dumps(items[0])
    return json.dumps({"kind": "List", "items": items}) if items else ""


class Cluster:
    """What kubectl would see; commands are noted."""

    def __init__(self, *names, code=0):
        self.names = list(names)
        self.deleted = []
        self.code = code

    def run(self, text):
        if text.startswith("kubectl get"):
            return self.code, listed(*self.names), "no connection"
        self.deleted.append(text)
        self.names = []
        return 0, "", ""


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ((), []),
        (("Pod/web",), ["pod/web"]),
        (("Pod/web", "Service/web"), ["pod/web", "service/web"]),
    ],
)
def test_one_many_and_none(names, found):
    assert names_in(listed(*names)) == found


def test_what_was_there_before_is_not_removed(tmp_path: Path):
    cluster = Cluster("Pod/web")
    belongings = Belongings(["pod/web"], cluster.run, tmp_path / "notes" / "a")
    assert belongings.found() == ["pod/web"]
    belongings.end()
    assert cluster.deleted == []


def test_what_the_lesson_made_goes_also_after_it_was_broken_off(tmp_path: Path):
    cluster = Cluster()
    note = tmp_path / "notes" / "a"
    Belongings(["pod/web"], cluster.run, note).begin()
    cluster.names = ["Pod/web"]
    again = Belongings(["pod/web"], cluster.run, note)
    assert again.begun
    again.end()
    assert cluster.deleted == ["kubectl delete pod/web --ignore-not-found --now >/dev/null 2>&1"]
    assert not again.begun


def test_a_cluster_that_does_not_answer(tmp_path: Path):
    belongings = Belongings(["pod/web"], Cluster(code=1).run, tmp_path / "a")
    with pytest.raises(UsageError, match="no connection"):
        belongings.found()


@pytest.mark.parametrize("folder", sorted(Path("scenarios").glob("*/")), ids=lambda p: p.name)
def test_a_lesson_names_all_that_its_manifests_make(folder: Path):
    lesson = load_scenario(folder)
    named = {*lesson.makes, *(name for each in lesson.exercises for name in each.makes)}
    for path in [*folder.rglob("*.yml"), *folder.rglob("*.yaml")]:
        if path.name == "scenario.yaml":
            continue
        for obj in yaml.safe_load_all(path.read_text()):
            group = obj["apiVersion"].rpartition("/")[0]
            kind = obj["kind"].lower() + (f".{group}" if group else "")
            assert f"{kind}/{obj['metadata']['name']}" in named, path

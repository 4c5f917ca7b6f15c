# ruff: noqa: E501 - rows of tables
"""netlab does what kubectl 1.33 does: same output, same exit code, same requests.

``recorded.json`` holds kubectl's part (see ``recorder.py``); netlab runs here against the same fake
server. Where netlab means to differ, ``DIFFERENT`` says why, and what it does instead.
"""

import json
from datetime import datetime

import pytest
from fake_server import serve
from recorder import MANIFESTS, RECORDED, cases, kubeconfig, new_cluster, run_netlab

RECORD = json.loads(RECORDED.read_text())
RECORDED_AT = datetime.fromisoformat(RECORD["recorded_at"])
PLACE = "the place in the file stands behind the message, with its column"
DIFFERENT = {
    "get pods --sort-by=.nosuch": (
        "kubectl claims that there are no objects at all",
        {"code": 1, "err": 'error: couldn\'t find any field with path "{.nosuch}" in the list of objects\n'},
    ),
    "get pods --sort-by=.status.containerStatuses[0].restartCount": (
        "kubectl shows nothing when one object lacks the field; here such objects come first",
        {"code": 0, "err": ""},
    ),
    "get pods -o go-template={{.kind}}": (
        "there is no Go in netlab",
        {"code": 1, "out": ""},
    ),
    "create -f bad.yml": (PLACE, {"code": 1, "err": "error: error parsing bad.yml: error converting YAML to JSON: yaml: line 5: mapping values are not allowed in this context (bad.yml line 5, column 7)\n"}),
    "create -f bad2.yml": (PLACE, {"code": 1, "err": "error: error parsing bad2.yml: error converting YAML to JSON: yaml: line 4: found character that cannot start any token (bad2.yml line 4, column 1)\n"}),
    "apply -f bad.yml": (PLACE, {"code": 1}),
    "create secret": (
        "kubectl prints its help",
        {"code": 1, "err": "error: say which kind of secret to create: generic, tls or docker-registry\n"},
    ),
    "create secret generic s2 --from-file=dir --type=foo --dry-run=client -o json": (
        "kubectl prints objects it made itself in the order of Go's structs, not of the keys",
        {"code": 0},
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def server():
    cluster = new_cluster()
    with serve(cluster) as url:
        yield cluster, url


@pytest.fixture
def run(server, tmp_path, monkeypatch):
    cluster, url = server
    fresh = new_cluster()
    cluster.objects, cluster.writes, cluster.logs = fresh.objects, fresh.writes, fresh.logs
    (tmp_path / "config").write_text(kubeconfig(url))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.chdir(MANIFESTS)
    return lambda line: run_netlab(line, url, cluster, RECORDED_AT)


@pytest.mark.parametrize("line", cases())
def test_as_kubectl(line, run):
    found = run(line)
    if line in DIFFERENT:
        _, expected = DIFFERENT[line]
        assert expected == {key: found[key] for key in expected}
        return
    expected = RECORD["cases"][line]
    for part in ("err", "out", "code", "writes"):
        assert found[part] == expected[part], part


def test_every_case_is_recorded():
    assert list(RECORD["cases"]) == cases()
    assert set(DIFFERENT) <= set(cases())

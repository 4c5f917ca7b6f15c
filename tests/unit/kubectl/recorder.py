"""Runs one command line against the fake server, by kubectl or by netlab, and records kubectl.

``python tests/unit/kubectl/recorder.py [KUBECTL]`` writes ``recorded.json`` anew: what kubectl
prints, its exit code and what it asks the server to change, for every line of ``cases.txt``. Read
the diff.
"""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
if __name__ == "__main__":
    sys.path[:0] = [str(HERE), str(HERE.parent.parent.parent)]

from cluster_objects import EVERYTHING  # noqa: E402
from fake_server import FakeCluster, serve  # noqa: E402

MANIFESTS = HERE / "manifests"
RECORDED = HERE / "recorded.json"
KUBECTL = "/usr/lib/google-cloud-sdk/bin/kubectl.1.33"
LOGS = {
    "crash/c": b"a\nb\n",
    "two/one": b"1\n2\n3\n",
    "two/other": b"x\ny\n",
    "go-demo-2-db-zzzzz/db": b"".join(b"%d\n" % n for n in range(30)),
}
_KLOG = re.compile(r"^[EIW]\d{4} .*?\] ", re.MULTILINE)
_KLOG_LINE = re.compile(r"^[EI]\d{4} .*\n", re.MULTILINE)


def cases() -> list[str]:
    text = (HERE / "cases.txt").read_text()
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def new_cluster() -> FakeCluster:
    cluster = FakeCluster(EVERYTHING)
    cluster.logs = dict(LOGS)
    return cluster


def kubeconfig(url: str) -> str:
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "x",
            "clusters": [{"name": "x", "cluster": {"server": url}}],
            "contexts": [{"name": "x", "context": {"cluster": "x", "user": "u"}}],
            "users": [{"name": "u", "user": {}}],
        }
    )


def result(code: int, out: str, err: str, cluster: FakeCluster, url: str) -> dict[str, Any]:
    """One comparable record: addresses replaced, klog's own lines left out."""
    err = _KLOG.sub("", _KLOG_LINE.sub("", err))
    return {
        "code": code,
        "out": out.replace(url, "URL"),
        "err": err.replace(url, "URL").replace(url[7:], "HOSTPORT"),
        "writes": [_normal_write(*write) for write in cluster.writes],
    }


def _normal_write(method: str, path: str, body: Any) -> list[Any]:
    """A request without what two right clients may do differently.

    The order of the query; null times; the namespace in a POST's body, which stands in the path
    too; the empty status that Go's types always send.
    """
    place, _, query = path.partition("?")
    body = _without_null_times(body)
    if method == "POST" and isinstance(body, dict):
        body.get("metadata", {}).pop("namespace", None)
        if body.get("status") == {"replicas": 0}:
            body["status"] = {}
    return [method, place, sorted(filter(None, query.split("&"))), body]


def _without_null_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: _without_null_times(item)
            for key, item in value.items()
            if not (key == "creationTimestamp" and item is None)
        }
    return [_without_null_times(item) for item in value] if isinstance(value, list) else value


def run_kubectl(kubectl: str, line: str, url: str, cluster: FakeCluster, home: Path) -> Any:
    (home / "config").write_text(kubeconfig(url))
    (home / "kubectl").unlink(missing_ok=True)
    (home / "kubectl").symlink_to(kubectl)  # it prints the name it is called by
    done = subprocess.run(
        [str(home / "kubectl"), *shlex.split(line)],
        env={"HOME": str(home), "KUBECONFIG": str(home / "config"), "PATH": os.environ["PATH"]},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        cwd=MANIFESTS,
        timeout=60,
        check=False,
    )
    return result(done.returncode, done.stdout.decode(), done.stderr.decode(), cluster, url)


def run_netlab(line: str, url: str, cluster: FakeCluster, now: datetime) -> Any:
    """Run netlab in this process, called ``kubectl`` so that its messages say so."""
    from netlab.cli.main import run_command_line
    from netlab.kubectl.session import Session

    class FrozenSession(Session):
        def now(self) -> datetime:
            return now

    out, err = io.TextIOWrapper(io.BytesIO()), io.StringIO()
    session = FrozenSession("kubectl", out, err)
    code = run_command_line(shlex.split(line), "kubectl", session)
    out.flush()
    return result(code, out.buffer.getvalue().decode(), err.getvalue(), cluster, url)


def record(kubectl: str) -> None:
    recorded: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as home:
        for line in cases():
            cluster = new_cluster()
            with serve(cluster) as url:
                recorded[line] = run_kubectl(kubectl, line, url, cluster, Path(home))
    now = datetime.now(UTC).replace(microsecond=0).isoformat()
    text = json.dumps({"recorded_at": now, "cases": recorded}, indent=1, ensure_ascii=False)
    RECORDED.write_text(text + "\n")


if __name__ == "__main__":
    record(sys.argv[1] if len(sys.argv) > 1 else KUBECTL)

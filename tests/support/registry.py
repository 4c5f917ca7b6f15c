"""A real registry for tests: Debian's docker-registry on a free port of the loopback."""

import contextlib
import os
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

FOLDER = Path("/var/lib/netlab/test-tools/docker-registry")
PROGRAM = FOLDER / "usr/bin/docker-registry"

_CONFIG = """
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {data}}}, delete: {{enabled: true}}}}
http: {{addr: "127.0.0.1:{port}"}}
{auth}
"""
_AUTH = 'auth: {{htpasswd: {{realm: "test", path: {path}}}}}'
HTPASSWD = "ana:$2b$12$9K33FYfFnlHf2BFHoxkumOr8usWcxE3WT1OGJL8qTa5NkS42zCR62\n"
"""Lets in ana, whose password is secret (bcrypt)."""


def registry_program() -> Path:
    """Return the registry's program, unpacked from Debian's package and never installed; the test
    is skipped where there is no such package.
    """
    if not PROGRAM.exists():
        with tempfile.TemporaryDirectory(prefix="netlab-registry-", dir="/var/tmp") as scratch:
            os.chmod(scratch, 0o777)  # noqa: PTH101 apt downloads as a user of its own
            done = subprocess.run(
                ["apt-get", "download", "docker-registry"],
                cwd=scratch,
                capture_output=True,
                timeout=120,
                check=False,
            )
            packages = list(Path(scratch).glob("*.deb"))
            if done.returncode or not packages:
                pytest.skip("Debian's package docker-registry cannot be downloaded")
            FOLDER.parent.mkdir(parents=True, exist_ok=True)
            unpacked = Path(tempfile.mkdtemp(prefix=".registry-", dir=FOLDER.parent))
            subprocess.run(["dpkg-deb", "-x", packages[0], unpacked], check=True, timeout=60)
            unpacked.chmod(0o755)
            unpacked.rename(FOLDER)
    return PROGRAM


@dataclass
class Registry:
    """A registry that runs."""

    port: int
    folder: Path
    netns: str | None = None
    flags: list[str] = field(default_factory=list)

    @property
    def host(self):
        return f"127.0.0.1:{self.port}"

    def push(self, source, name):
        """Copy an image of an OCI layout (``folder:name``) to the registry."""
        target = f"docker://{self.host}/{name}"
        inside = ["ip", "netns", "exec", self.netns] if self.netns else []
        argv = [*inside, "skopeo", "--insecure-policy", "copy", "-q", "--dest-tls-verify=false"]
        argv += [*self.flags, f"oci:{source}", target]
        subprocess.run(argv, check=True, timeout=60, capture_output=True)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def running_registry(folder, *, netns=None, port=None, logins=""):
    """Run a registry with its data below a folder; logins: an htpasswd file's text."""
    folder = Path(folder)
    program = registry_program()
    port = port or free_port()
    auth = ""
    if logins:
        (folder / "htpasswd").write_text(logins)
        auth = _AUTH.format(path=folder / "htpasswd")
    config = folder / "registry.yml"
    config.write_text(_CONFIG.format(data=folder / "data", port=port, auth=auth))
    argv = ["ip", "netns", "exec", netns] if netns else []
    with (folder / "registry.log").open("wb") as log:
        process = subprocess.Popen([*argv, program, "serve", config], stdout=log, stderr=log)
    try:
        _await(port, netns)
        yield Registry(port, folder, netns)
    finally:
        process.terminate()
        process.wait(10)


def _await(port, netns):
    inside = ["ip", "netns", "exec", netns] if netns else []
    probe = [*inside, "curl", "-s", "-o", "/dev/null", f"http://127.0.0.1:{port}/v2/"]
    for _ in range(100):
        if subprocess.run(probe, check=False).returncode == 0:
            return
        time.sleep(0.05)
    raise AssertionError("the registry does not answer")

"""The built-in images as containers: the course's app, its database, tools, Python."""

import asyncio
import subprocess
import sys

import pytest

from tests.system.runtime_lab import lab_fixture, run_in, start  # noqa: F401

pytestmark = pytest.mark.system

PYMONGO = """
import pymongo
with pymongo.MongoClient("127.0.0.1", 27017, serverSelectionTimeoutMS=5000) as client:
    client.demo.people.insert_one({"name": "Jon"})
    print(sorted(p["name"] for p in client.demo.people.find()))
"""


def in_pod(lab, *argv):
    """Run a program of the host in the pod's network."""
    argv = ["ip", "netns", "exec", lab.name, *argv]
    return subprocess.run(argv, capture_output=True, text=True, timeout=20)


async def fetch(lab, url, *options):
    """Return what curl gets from inside the pod's network, once somebody listens."""
    for _ in range(100):
        done = await asyncio.to_thread(in_pod, lab, "curl", "-sS", "-m5", *options, url)
        if done.returncode != 7:
            break
        await asyncio.sleep(0.02)
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_the_courses_app_with_its_database(lab):
    async with lab.runtime() as runtime:
        sandbox = await runtime.run_sandbox(lab.sandbox())
        api = lab.container(name="api", image="vfarcic/go-demo-2", env={"DB": "127.0.0.1"})
        container = await start(runtime, sandbox, api)
        hello = await fetch(lab, "http://127.0.0.1:8080/demo/hello", "-i")
        assert hello.startswith("HTTP/1.1 200 OK\n")
        head, _, body = hello.partition("\n\n")
        assert body == "hello, world!\n"
        assert {line.split(": ")[0] for line in head.splitlines()[1:]} == {
            "Content-Length",
            "Content-Type",
            "Date",
            "X-Hostname",
            "X-Version",
        }
        assert "\nX-Hostname: web-1\nX-Version: 1.0" in head
        assert "503" in await fetch(lab, "http://127.0.0.1:8080/demo/person", "-i")
        db = lab.container("mongod", "--rest", "--httpinterface", name="db", image="mongo:3.3")
        await start(runtime, sandbox, db)
        page = await fetch(lab, "http://127.0.0.1:28017")
        assert page.startswith("<html><head>\n<title>mongod web-1</title>\n")
        await fetch(lab, "http://127.0.0.1:8080/demo/person?name=Ana", "-X", "PUT")
        done = await asyncio.to_thread(in_pod, lab, sys.executable, "-c", PYMONGO)
        assert done.stdout == "['Ana', 'Jon']\n", done.stderr
        assert await fetch(lab, "http://127.0.0.1:8080/demo/person") == "Ana\nJon\n"
        await runtime.stop_container(container, grace_period_s=5)
        state = next(s for s in await runtime.list_containers() if s.id == container)
        assert (state.exit_code, state.reason) == (0, "Completed")
        assert "GET /demo/hello 200" in lab.log("api")
        assert lab.log("api").endswith("stopped\n")


async def test_the_container_looks_as_in_the_course(lab):
    async with lab.runtime() as runtime:
        sandbox = await runtime.run_sandbox(lab.sandbox())
        config = lab.container(image="vfarcic/go-demo-2")
        container = await start(runtime, sandbox, config)
        await fetch(lab, "http://127.0.0.1:8080/demo/hello")
        _, listing, _ = await run_in(runtime, container, "ls", "/")
        seen = "bin dev etc home lib lib64 linuxrc media mnt proc root run sbin srv sys tmp usr var"
        assert listing.split() == seen.split()
        code, _, said = await run_in(runtime, container, "wget", "127.0.0.1:8080/demo/hello")
        assert code == 0
        assert said.startswith("Connecting to 127.0.0.1:8080 (127.0.0.1:8080)\n")
        assert (await run_in(runtime, container, "cat", "hello"))[1] == "hello, world!\n"


async def test_the_dns_image_reaches_netlabs_own_code(lab):
    async with lab.runtime() as runtime:
        sandbox = await runtime.run_sandbox(lab.sandbox())
        container = await start(runtime, sandbox, lab.container("sleep", "9", image="netlab/dns"))
        program = "import netlab.dns, uvloop, msgspec; print(uvloop.__name__)"
        assert await run_in(runtime, container, "netlab-python", "-c", program) == (
            0,
            "uvloop\n",
            "",
        )
        code, _, _ = await run_in(runtime, container, "ls", str(lab.state_dir))
        assert code == 1


async def test_the_tools_image_brings_the_hosts_programs_and_nothing_else(lab):
    async with lab.runtime() as runtime:
        sandbox = await runtime.run_sandbox(lab.sandbox())
        container = await start(runtime, sandbox, lab.container("sleep", "9", image="netlab/tools"))
        code, out, _ = await run_in(runtime, container, "bash", "-c", "which ip; ls -A /usr/local")
        assert (code, out.count("\n"), out.endswith("bin/ip\n")) == (0, 1, True)
        assert (await run_in(runtime, container, "cat", "/etc/shadow"))[0] == 1
        assert (await run_in(runtime, container, "touch", "/usr/x"))[0] == 1


async def test_pause_as_a_container(lab):
    async with lab.runtime() as runtime:
        sandbox = await runtime.run_sandbox(lab.sandbox())
        config = lab.container(image="registry.k8s.io/pause:3.9")
        container = await start(runtime, sandbox, config)
        await runtime.stop_container(container, grace_period_s=5)
        (state,) = await runtime.list_containers()
        assert state.finished_at is not None

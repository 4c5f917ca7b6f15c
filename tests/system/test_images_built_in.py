"""The built-in images that the courses name, each run as a container and asked over its network.

The real servers come from Debian: the first run downloads their packages (some 15 MB).
"""

import asyncio
import json
import shutil
import time
from dataclasses import replace

import pytest

from netlab.runtime.builtin import BuiltInImages, default_images_dir
from netlab.runtime.cri import LinuxResources, Mount
from netlab.runtime.reference import parse_reference
from tests.system.runtime_lab import lab_fixture, run_in, start, state_of  # noqa: F401
from tests.system.test_runtime_images import fetch, in_pod

pytestmark = pytest.mark.system

MONOLITH = "udacity/example-monolith:1.0.0"
TEN_MIB = 10 * 1024 * 1024


def fetched(name, tmp_path):
    """Bring a server's packages here; skip where the machine has no Debian to ask."""
    if shutil.which("apt-get") is None:
        pytest.skip("needs apt-get")
    images = BuiltInImages(images_dir=default_images_dir(), layers_dir=tmp_path)
    return images.fetch(parse_reference(name))


async def shell(runtime, container, script):
    """Return what a script prints in a container; it must succeed."""
    code, out, err = await run_in(runtime, container, "sh", "-c", script)
    assert code == 0, out + err
    return out


async def until_logged(lab, text, *, name="c", timeout_s=20):
    deadline = time.monotonic() + timeout_s
    while text not in lab.log(name):
        assert time.monotonic() < deadline, lab.log(name)
        await asyncio.sleep(0.05)


async def test_nginx_is_the_real_server(lab, tmp_path):
    info = await asyncio.to_thread(fetched, "nginx:1.9.14", tmp_path)
    assert info.present
    assert " from Debian)" in info.description
    conf = tmp_path / "conf.d"
    conf.mkdir()
    (conf / "proxy.conf").write_text("server { listen 81; return 200 'proxied\\n'; }\n")
    async with lab.runtime() as runtime:
        sandbox = await runtime.run_sandbox(lab.sandbox())
        config = lab.container(image="nginx:1.9.14")
        container = await start(runtime, sandbox, config)
        page = await fetch(lab, "http://127.0.0.1/", "-i")
        assert "<h1>Welcome to nginx!</h1>" in page
        assert "Server: nginx/" in page
        write = "echo changed > /usr/share/nginx/html/index.html; curl -s http://127.0.0.1/"
        assert await shell(runtime, container, write) == "changed\n"
        assert await shell(runtime, container, "grep -c . /etc/shadow || true; ls /usr/local") == ""
        mounts = (Mount(conf, "/etc/nginx/conf.d", read_only=True),)
        second = await start(
            runtime,
            sandbox,
            replace(config, name="proxy", mounts=mounts, log_path=tmp_path / "log"),
        )
        assert await fetch(lab, "http://127.0.0.1:81/") == "proxied\n"
        await run_in(runtime, second, "/usr/sbin/nginx", "-s", "quit")
        await runtime.stop_container(container, grace_period_s=5)
        for ended in (container, second):
            assert (await state_of(runtime, ended)).exit_code == 0
    assert '"GET / HTTP/1.1" 200' in lab.log()


async def test_redis_is_the_real_server_and_not_root(lab, tmp_path):
    await asyncio.to_thread(fetched, "redis", tmp_path)
    async with lab.runtime() as runtime:
        sandbox = await runtime.run_sandbox(lab.sandbox())
        container = await start(runtime, sandbox, lab.container(image="redis:alpine"))
        await until_logged(lab, "Ready to accept connections")
        assert await shell(runtime, container, "redis-cli set name ana; redis-cli get name") == (
            "OK\nana\n"
        )
        assert await shell(runtime, container, "redis-cli config get protected-mode") == (
            "protected-mode\nno\n"
        )
        assert await shell(runtime, container, "stat -c %U /proc/1 /data") == "redis\nredis\n"


async def test_mariadb_makes_the_accounts_it_is_told(lab, tmp_path):
    await asyncio.to_thread(fetched, "mariadb", tmp_path)
    scripts = tmp_path / "init"
    scripts.mkdir()
    (scripts / "1.sql").write_text("CREATE TABLE t (n INT); INSERT INTO t VALUES (42);\n")
    env = {
        "MARIADB_ROOT_PASSWORD": "se'c\\ret",
        "MYSQL_DATABASE": "shop",
        "MARIADB_USER": "ana",
        "MARIADB_PASSWORD": "p",
    }
    mounts = (Mount(scripts, "/docker-entrypoint-initdb.d", read_only=True),)
    async with lab.runtime() as runtime:
        sandbox = await runtime.run_sandbox(lab.sandbox())
        bare = await start(runtime, sandbox, lab.container(image="mysql:8", name="bare"))
        config = lab.container(image="mariadb:11", env=env, mounts=mounts)
        container = await start(runtime, sandbox, config)
        await until_logged(lab, "port: 3306")
        ask = "mariadb -h127.0.0.1 -uana -pp shop -Ne 'SELECT n FROM t'"
        assert await shell(runtime, container, ask) == "42\n"
        ping = """mysqladmin -h127.0.0.1 -uroot -p"se'c\\\\ret" ping"""
        assert await shell(runtime, container, ping) == "mysqld is alive\n"
        for user in ("ana", "root", "nobody"):
            argv = ("mariadb", "-h127.0.0.1", f"-u{user}", "-e", "SELECT 1")
            code, _, err = await run_in(runtime, container, *argv)
            assert (code, "Access denied" in err) == (1, True), user
        await runtime.stop_container(container, grace_period_s=10)
        assert (await state_of(runtime, container)).exit_code == 0
        assert (await state_of(runtime, bare)).exit_code == 1
    assert "password option is not specified" in lab.log("bare")


async def test_the_monolith_answers_in_ten_mebibytes(lab):
    async with lab.runtime() as runtime:
        sandbox = await runtime.run_sandbox(lab.sandbox())
        config = replace(
            lab.container(image=MONOLITH, args=("-http=0.0.0.0:80", "-secret=secret")),
            resources=LinuxResources(memory_limit_bytes=TEN_MIB, cpu_quota_us=20_000),
        )
        container = await start(runtime, sandbox, config)
        assert await fetch(lab, "http://127.0.0.1/") == '{"message":"Hello"}\n'
        assert await fetch(lab, "http://127.0.0.1/version") == '{"version":"1.0.0"}\n'
        assert await fetch(lab, "http://127.0.0.1/secure") == "authorization failed\n"
        login = await fetch(lab, "http://127.0.0.1/login", "-u", "user:password")
        token = json.loads(login)["token"]
        bearer = ("-H", f"Authorization: Bearer {token}")
        assert await fetch(lab, "http://127.0.0.1/secure", *bearer) == '{"message":"Hello"}\n'
        await shell(runtime, container, "ping -c 1 127.0.0.1")
        for expected in ("200", "503", "200"):
            code = await fetch(lab, "http://127.0.0.1:81/readiness", "-w%{http_code}")
            assert code == expected
            await fetch(lab, "http://127.0.0.1:81/readiness/status")
        url = "http://127.0.0.1/login"
        many = f"for i in 1 2 3 4 5 6 7 8 9 10; do curl -s {url} -u user:password; done"
        done = await asyncio.to_thread(in_pod, lab, "sh", "-c", many)
        assert done.stdout.count("token") == 10
        used = await shell(runtime, container, "cat /sys/fs/cgroup/memory/memory.limit_in_bytes")
        assert int(used) == TEN_MIB
        await runtime.stop_container(container, grace_period_s=5)
        assert (await state_of(runtime, container)).reason == "Completed"
    assert '"GET /secure HTTP/1.1" curl/' in lab.log()
    assert "Captured terminated. Exiting..." in lab.log()


@pytest.mark.parametrize(
    ("image", "port", "expected"),
    [
        pytest.param("jpetazzo/httpenv", 8888, '"HOSTNAME":"web-1"', id="httpenv"),
        pytest.param("k8s.gcr.io/echoserver:1.4", 8080, "CLIENT VALUES:\n", id="echoserver 1.4"),
        pytest.param("registry.k8s.io/echoserver:1.10", 8080, "Hostname: web-1", id="echoserver"),
        pytest.param("andr35/imagen:v0.1.0", 80, "Hola Catamarca desde PHP7!", id="imagen 1"),
        pytest.param("andr35/imagen:v0.2.0", 80, "¡Hola Catamarca!<html>", id="imagen 2"),
        pytest.param("andr35/imagen:v0.3.0", 80, "¡Hola Catamarca!web-1", id="imagen 3"),
    ],
)
async def test_small_servers(lab, image, port, expected):
    async with lab.runtime() as runtime:
        sandbox = await runtime.run_sandbox(lab.sandbox())
        await start(runtime, sandbox, lab.container(image=image))
        assert expected in await fetch(lab, f"http://127.0.0.1:{port}/")


async def test_dockercoins_mines(lab, tmp_path):
    await asyncio.to_thread(fetched, "redis", tmp_path)
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1 redis\n127.0.0.2 rng\n127.0.0.3 hasher\n")
    mounts = (Mount(hosts, "/etc/hosts"),)
    # Every service of the course listens on port 80 of a pod of its own; here they share one.
    code = "import sys; sys.path.insert(0, '/usr/share/{0}'); import app; app.main([], {{}}, {1})"
    async with lab.runtime() as runtime:
        sandbox = await runtime.run_sandbox(lab.sandbox())
        await start(runtime, sandbox, lab.container(image="redis", name="redis"))
        await until_logged(lab, "Ready to accept", name="redis")
        for name, port in (("rng", 81), ("hasher", 82), ("webui", 80)):
            command = ("/usr/bin/python3", "-IS", "-c", code.format(name, port))
            image = f"dockercoins/{name}:v0.1"
            config = lab.container(*command, name=name, image=image, mounts=mounts)
            await start(runtime, sandbox, config)
        rules = [("127.0.0.2", 81), ("127.0.0.3", 82)]
        for address, port in rules:
            rule = f"iptables -t nat -A OUTPUT -d {address} -p tcp --dport 80"
            rule += f" -j DNAT --to-destination 127.0.0.1:{port}"
            done = await asyncio.to_thread(in_pod, lab, *rule.split())
            assert done.returncode == 0, done.stderr
        worker = lab.container(name="worker", image="dockercoins/worker:v0.1", mounts=mounts)
        await start(runtime, sandbox, worker)
        await until_logged(lab, "4 units of work done, updating hash counter", name="worker")
        found = json.loads(await fetch(lab, "http://127.0.0.1/json"))
        assert int(found["hashes"]) >= 4
        assert "Current mining speed" in await fetch(lab, "http://127.0.0.1/", "-L")

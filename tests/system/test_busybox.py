"""The programs of busybox and alpine as lessons call them: what they print is what real ones do."""

import os

import pytest

from netlab.runtime.busybox import FullBusybox
from tests.system.runtime_lab import (
    lab_fixture,  # noqa: F401
    run_in,
    start,
)

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(
        FullBusybox().find() is None,
        reason="busybox is not built in full; run: sudo netlab image pull busybox",
    ),
]

SERVE = (
    "mkdir /www; echo hello > /www/index.html; httpd -p 8080 -h /www;"
    " nc -lk -p 9000 -e cat & nc -lk -p 9001 -e echo hi & echo serving; sleep 99"
)
URL = "http://127.0.0.1:8080"
CONNECTING = "Connecting to 127.0.0.1:8080 (127.0.0.1:8080)\n"
NOT_FOUND = "wget: server returned error: HTTP/1.1 404 Not Found\n"
NO_WAY = "Network is unreachable\n"

# line -> exit code, standard output, standard error
LINES = {
    f"wget -qO- {URL}": (0, "hello\n", ""),
    f"wget -T 3 -qO- {URL}": (0, "hello\n", ""),
    f"wget -q -O - -T3 -t 1 {URL}/": (0, "hello\n", ""),
    f"wget --timeout=3 --tries=2 -qO- {URL}": (0, "hello\n", ""),
    f"wget --spider {URL}": (0, "", f"{CONNECTING}remote file exists\n"),
    f"wget --spider --timeout 2 {URL}/no": (1, "", f"{CONNECTING}{NOT_FOUND}"),
    "wget -T 1 -qO- http://10.9.9.9": (
        1,
        "",
        f"wget: can't connect to remote host (10.9.9.9): {NO_WAY}",
    ),
    "wget -qO- -T 2 http://nosuch": (1, "", "wget: bad address 'nosuch'\n"),
    f"wget -qO- --header 'X: y' --post-data a=b {URL}": (
        1,
        "",
        "wget: server returned error: HTTP/1.1 501 Not Implemented\n",
    ),
    "nc -z 127.0.0.1 8080": (0, "", ""),
    "nc -zv 127.0.0.1 8080": (0, "", "127.0.0.1 (127.0.0.1:8080) open\n"),
    "nc -vz -w 1 127.0.0.1 8080": (0, "", "127.0.0.1 (127.0.0.1:8080) open\n"),
    "nc -z -w1 127.0.0.1 81": (1, "", ""),
    "nc -zv -w 2 10.9.9.9 80": (1, "", f"nc: 10.9.9.9 (10.9.9.9:80): {NO_WAY}"),
    "nc -z nosuch 80": (1, "", "nc: bad address 'nosuch'\n"),
    "for i in 1 2; do echo $i | nc -w 1 127.0.0.1 9000; done": (0, "1\n2\n", ""),
    "nc -w 1 127.0.0.1 9001 </dev/null": (0, "hi\n", ""),
    "adduser -D -u 1234 ana && addgroup web && addgroup ana web && id ana": (
        0,
        "uid=1234(ana) gid=1234(ana) groups=1234(ana),1000(web)\n",
        "",
    ),
    "adduser -S -D -H srv; adduser -D bo; su bo -c 'id -un'": (0, "bo\n", ""),
    "su -s /bin/sh nobody -c 'id -u'": (0, "65534\n", ""),
    "echo x | telnet 127.0.0.1 8080 | head -n 1": (0, "Connected to 127.0.0.1\n", ""),
    "ping -c 1 -W 1 127.0.0.1 | grep packets": (
        0,
        "1 packets transmitted, 1 packets received, 0% packet loss\n",
        "",
    ),
    "traceroute -n -m 1 127.0.0.1 | head -n 1": (
        0,
        "traceroute to 127.0.0.1 (127.0.0.1), 1 hops max, 46 byte packets\n",
        "",
    ),
    "ip -o -4 addr show lo | cut -d' ' -f2-7": (0, "lo    inet 127.0.0.1/8\n", ""),
    "which vi top httpd ssl_client nslookup": (
        0,
        "/bin/vi\n/usr/bin/top\n/usr/sbin/httpd\n/usr/bin/ssl_client\n/usr/bin/nslookup\n",
        "",
    ),
    "timeout 1 sleep 5": (143, "", ""),
    "curl http://127.0.0.1:8080": (127, "", "sh: curl: not found\n"),
}


@pytest.mark.parametrize("image", ["busybox", "alpine"])
async def test_lines_of_lessons(lab, image):
    async with lab.runtime() as runtime:
        sandbox = await runtime.run_sandbox(lab.sandbox())
        server = lab.container("sh", "-c", SERVE, name=image, image=image)
        container = await start(runtime, sandbox, server)
        await run_in(runtime, container, "sh", "-c", "until nc -z 127.0.0.1 8080; do :; done")
        seen = {
            line: await run_in(runtime, container, "sh", "-c", f"cd /tmp; {line}") for line in LINES
        }
        assert seen == LINES


async def test_alpine_says_what_it_is_and_what_it_has_not(lab):
    async with lab.runtime() as runtime:
        sandbox = await runtime.run_sandbox(lab.sandbox())
        container = await start(runtime, sandbox, lab.container("sleep", "99", image="alpine:3.19"))
        _, release, _ = await run_in(runtime, container, "cat", "/etc/os-release")
        assert release.startswith('NAME="Alpine Linux"\nID=alpine\n')
        code, out, said = await run_in(runtime, container, "apk", "add", "curl")
        assert (code, out, said.count("\n")) == (1, "", 1)
        assert said.startswith("apk: netlab's alpine has no packages")

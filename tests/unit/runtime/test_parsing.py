"""What is read from the kernel, the OCI runtimes and conmon."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from netlab.errors import ContainerError
from netlab.runtime import cgroups
from netlab.runtime.conmon import ConmonJob, _pid_of, conmon_argv
from netlab.runtime.machine import lowest_oom_score
from netlab.runtime.mounts import parse_mount_points
from netlab.runtime.oci import OciCommand, exec_words
from netlab.runtime.runtime_errors import (
    is_of_crun,
    runtime_error,
    runtime_message,
    start_failure_code,
)

HYBRID = """\
30 23 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
32 30 0:28 / /sys/fs/cgroup/systemd rw - cgroup systemd rw,xattr,name=systemd
33 30 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
"""
UNIFIED = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"


def test_hierarchies_of_a_hybrid_host():
    found = cgroups.parse_hierarchies(HYBRID)
    assert [(h.mount_point.name, sorted(h.names), h.tracks_services) for h in found] == [
        ("cpu,cpuacct", ["cpu", "cpuacct"], False),
        ("systemd", ["name=systemd"], True),
        ("unified", [], True),
    ]


def test_hierarchy_of_a_unified_host():
    (only,) = cgroups.parse_hierarchies(UNIFIED)
    assert (only.mount_point, only.tracks_services) == (Path("/sys/fs/cgroup"), True)


def test_removing_groups_that_are_gone_is_fine(tmp_path):
    (tmp_path / "netlab" / "lab" / "podx").mkdir(parents=True)
    hierarchies = [
        cgroups.Hierarchy(tmp_path, frozenset()),
        cgroups.Hierarchy(tmp_path / "no", frozenset()),
    ]
    cgroups.remove_group(hierarchies, "/netlab/lab")
    cgroups.remove_group(hierarchies, "/netlab/lab")
    cgroups.kill_processes(hierarchies, "/netlab/lab")
    assert list((tmp_path / "netlab").iterdir()) == []


def test_mount_points_are_unescaped():
    text = "1 2 0:3 / /a\\040b rw - ext4 x rw\n1 2 0:3 / /c rw - ext4 x rw\n"
    assert parse_mount_points(text) == ["/a b", "/c"]


MESSAGES = {
    "logrus text": (
        'time="2026-01-01T00:00:00Z" level=warning msg="w"\n'
        'time="2026-01-01" level=error msg="runc create failed: exec: \\"x\\": not found"\n',
        'runc create failed: exec: "x": not found',
    ),
    "logrus json": (
        '{"level":"warning","msg":"w"}\n{"level":"error","msg":"exec failed: no"}\n'
        '{"level":"info","msg":"bye"}\n',
        "exec failed: no",
    ),
    "bare": ("it broke\n", "it broke"),
    "nothing": ("", "it ended without a message"),
}


@pytest.mark.parametrize(("text", "cause"), MESSAGES.values(), ids=MESSAGES.keys())
def test_the_cause_in_a_runtimes_output(text, cause):
    assert runtime_message(text) == cause


NO_FILE = "No such file or directory"
OF_CRUN = {
    "not in path": (
        f"executable file `x` not found in $PATH: {NO_FILE}",
        'exec: "x": executable file not found in $PATH',
    ),
    "in colours of a terminal": (
        f"\x1b[1;31mexecutable file `x` not found in $PATH: {NO_FILE}\x1b[0m",
        'exec: "x": executable file not found in $PATH',
    ),
    "newer, no file": (
        f"executable file `/x` not found: {NO_FILE}",
        'exec: "/x": stat /x: no such file or directory',
    ),
    "no file below": (
        f"executable file `./x` not found in $PATH: {NO_FILE}",
        'exec: "./x": stat ./x: no such file or directory',
    ),
    "no permission": ("open executable: Permission denied", 'exec: "prog": permission denied'),
    "a folder": ("open executable: Operation not permitted", 'exec: "prog": permission denied'),
    "no program": ("exec: Exec format error", 'exec: "prog": exec format error'),
    "working folder": (
        f"chdir `/w`: {NO_FILE}",
        'chdir to cwd ("/w") set in config.json failed: no such file or directory',
    ),
    "sysctl of the machine": (
        "the sysctl `kernel.panic` is not namespaced",
        'sysctl "kernel.panic" is not in a separate kernel namespace',
    ),
    "unknown sysctl": (
        f"open /proc/sys/net/ipv4/no: {NO_FILE}",
        "error during container init: open /proc/sys/net/ipv4/no: no such file or directory",
    ),
    "value of a sysctl": (
        "write to /proc/sys/net/ipv4/ip_forward: Invalid argument",
        "error during container init: write /proc/sys/net/ipv4/ip_forward: invalid argument",
    ),
    "missing volume": (
        f"error stat'ing file `/v`: {NO_FILE}",
        'error during container init: error mounting "/v": stat /v: no such file or directory',
    ),
    "volume on a file": (
        "mount `/v` to `etc/passwd`: Not a directory",
        'error during container init: error mounting "/v" to rootfs at "/etc/passwd": '
        "not a directory",
    ),
}


@pytest.mark.parametrize(("said", "cause"), OF_CRUN.values(), ids=OF_CRUN.keys())
def test_crun_is_told_in_the_words_of_runc(said, cause):
    line = json.dumps({"msg": said, "level": "error", "time": "2026-01-01T00:00:00Z"})
    assert is_of_crun(said)
    assert runtime_error(line, program="prog") == f"unable to start container process: {cause}"


@pytest.mark.parametrize("said", ["hello", "sh: x: not found", "exec failed: x", ""])
def test_what_a_process_says_itself_is_not_of_crun(said):
    assert not is_of_crun(said)


CODES = {
    "not in path": ('exec: "x": executable file not found in $PATH', 127),
    "no file": ('exec: "/x": stat /x: no such file or directory', 127),
    "no permission": ('exec: "/x": permission denied', 126),
    "is a folder": ('exec: "/": is a directory', 126),
}


@pytest.mark.parametrize(("message", "code"), CODES.values(), ids=CODES.keys())
def test_exit_codes_of_what_cannot_start(message, code):
    assert start_failure_code(message) == code


JOB = ConmonJob("id1", "k8s_c", Path("/b"), Path("/log"), Path("/usr/sbin/runc"), Path("/oci"))


def test_conmons_command_line():
    argv = conmon_argv(JOB)
    assert argv[:3] == ["conmon", "--api-version", "1"]
    pairs = dict(zip(argv[3::2], argv[4::2], strict=False))
    assert pairs["--cid"] == pairs["--cuuid"] == "id1"
    assert pairs["--runtime-arg"] == "--root=/oci"
    assert "k8s-file:/log" in argv
    assert not {"--terminal", "--stdin"} & set(argv)


@pytest.mark.parametrize(
    ("stdin", "ends_with_client", "options"),
    [
        pytest.param(False, False, set(), id="no input"),
        pytest.param(True, False, {"--stdin", "--leave-stdin-open"}, id="input that stays"),
        pytest.param(True, True, {"--stdin"}, id="input that ends with a client"),
        pytest.param(False, True, set(), id="nothing to end"),
    ],
)
def test_a_containers_input(stdin, ends_with_client, options):
    job = replace(JOB, stdin=stdin, stdin_ends_with_client=ends_with_client)
    assert {"--stdin", "--leave-stdin-open"} & set(conmon_argv(job)) == options


def test_conmons_report(tmp_path):
    errors = tmp_path / "conmon.err"
    errors.write_text('level=error msg="conmon: bad log path"\n')
    assert _pid_of(b'{"data": 7}\n', tmp_path) == 7
    with pytest.raises(ContainerError, match=r"^OCI runtime create failed: x$"):
        _pid_of(b'{"data": -1, "message": "level=error msg=\\"x\\"\\n"}\n', tmp_path)
    with pytest.raises(ContainerError, match="bad log path"):
        _pid_of(b"", tmp_path)


def test_exec_words():
    command = OciCommand(Path("/usr/bin/crun"), Path("/oci"))
    words = exec_words("id1", process=Path("/d"), pid_file=Path("/p"))
    assert command.argv(*words) == [
        "/usr/bin/crun",
        "--root",
        "/oci",
        "exec",
        "--process",
        "/d",
        "--pid-file",
        "/p",
        "id1",
    ]


def test_only_cap_sys_resource_lowers_oom_scores():
    assert lowest_oom_score("CapEff:\t000001ffffffffff\n", "0\n") == -1000
    assert lowest_oom_score("CapEff:\t000001fffeffffff\n", "100\n") == 100

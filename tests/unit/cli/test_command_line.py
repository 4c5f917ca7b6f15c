"""The front of the command line: verbs, help, errors, what is imported."""

import io
import subprocess
import sys

import pytest

from netlab.api.kinds import builtin_kinds
from netlab.cli.commands import CLUSTER
from netlab.cli.main import load_command, run_command_line, split_verb
from netlab.kubectl.flags import Command, Group, help_text
from netlab.kubectl.resources import EVERYWHERE
from netlab.kubectl.session import Session


def run(*words):
    session = Session("netlab", io.StringIO(), io.StringIO())
    code = run_command_line(words, "netlab", session)
    return code, session.out.getvalue(), session.err.getvalue()


@pytest.mark.parametrize("verb", list(CLUSTER))
def test_every_verb_has_help(verb):
    code, out, _ = run(verb, "--help")
    assert (code, f"netlab {verb}" in out) == (0, True)
    command = load_command(verb)
    assert isinstance(command, (Command, Group))


@pytest.mark.parametrize(
    ("verb", "word"),
    [
        (verb, word)
        for verb in CLUSTER
        if isinstance(load_command(verb), Group)
        for word in load_command(verb).commands
    ],
)
def test_every_subverb_has_help(verb, word):
    code, out, _ = run(verb, word, "--help")
    assert code == 0
    assert out.startswith(("Create", "Ask", "List", "Make", "Change", "Show", "Tell"))


def test_options_of_a_verb_are_unique():
    for verb in CLUSTER:
        command = load_command(verb)
        flags = (command.fallback if isinstance(command, Group) else command).flags
        names = [flag.name for flag in flags]
        shorts = [flag.short for flag in flags if flag.short]
        assert len(set(names)) == len(names), verb
        assert len(set(shorts)) == len(shorts), verb
        assert help_text("netlab", command.fallback if isinstance(command, Group) else command)


def test_overview_and_options():
    assert "describe" in run()[1]
    assert run("--help") == run("help")
    assert "--kubeconfig" in run("options")[1]
    assert run("help", "scale")[1] == run("scale", "-h")[1]
    assert run("--version")[1].startswith("netlab ")


def test_unknown_verb():
    code, out, err = run("gte")
    assert (code, out) == (1, "")
    assert err == (
        'error: unknown command "gte" for "netlab"\n\nDid you mean this?\n\tget\n\n'
        "Run 'netlab --help' for usage.\n"
    )


def test_unknown_option():
    assert run("scale", "--nope") == (
        1,
        "",
        "error: unknown flag: --nope\nSee 'netlab scale --help' for usage.\n",
    )


@pytest.mark.parametrize("line", ["get pods --name one", "exec web --name=one -- ls"])
def test_a_lab_is_not_named_to_kubectls_verbs(line):
    assert run(*line.split()) == (
        1,
        "",
        "error: unknown flag: --name; kubectl's verbs ask the current context's lab; "
        f"--context netlab-NAME asks another\nSee 'netlab {line.split()[0]} --help' for usage.\n",
    )


def test_options_before_the_verb():
    assert split_verb(["-n", "x", "get", "pods"]) == ("get", ["-n", "x", "pods"])
    assert split_verb(["--context=x", "get"]) == ("get", ["--context=x"])
    assert split_verb(["-s", "get", "get"]) == ("get", ["-s", "get"])


def test_no_server(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    code, out, err = run("get", "pods", "-s", "http://127.0.0.1:1")
    assert (code, out) == (1, "")
    assert err == (
        "The connection to the server 127.0.0.1:1 was refused - "
        "did you specify the right host or port?\n"
    )


def test_resources_known_without_asking_are_those_of_the_api():
    def shape(each):
        return (each.group, each.version, each.kind, each.plural, each.namespaced, each.short_names)

    assert {shape(each) for each in EVERYWHERE} <= {shape(kind) for kind in builtin_kinds()}


HEAVY = ("aiohttp", "asyncio", "click", "dataclasses", "msgspec", "typing", "yaml", "http.client")


def test_get_imports_nothing_heavy():
    code = (
        "import sys, netlab.__main__, netlab.cli.main, netlab.kubectl.get,"
        " netlab.kubectl.resources, netlab.client.blocking, netlab.client.kubeconfig;"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        capture_output=True,
        env={"PYTHONPATH": ":".join(p for p in sys.path if p)},
        check=True,
    )
    assert done.stdout.decode().strip() == "[]"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (
            ("run", "a", "--image=A B"),
            'error: Invalid image name "A B": invalid reference format\n',
        ),
        (
            ("debug", "web", "--image=x:y:z"),
            'error: invalid image name "x:y:z": invalid reference format\n',
        ),
        (
            ("run", "a", "--image=Web"),
            'error: Invalid image name "Web": invalid reference format\n',
        ),
    ],
)
def test_an_image_without_a_valid_name_is_refused_before_anything_is_made(words, text):
    assert run(*words) == (1, "", text)

# ruff: noqa: E501 - rows of tables
"""Options by pflag's rules."""

import pytest

from netlab.kubectl.flags import Command, Flag, FlagError, help_text, parse, parse_duration

FLAGS = (
    Flag("output", short="o"),
    Flag("watch", "bool", short="w"),
    Flag("tty", "bool", short="t"),
    Flag("stdin", "bool", short="i"),
    Flag("wait", "bool", default=True),
    Flag("tail", "int", default=-1),
    Flag("label-columns", "strings", short="L"),
    Flag("env", "array"),
    Flag("timeout", "duration"),
    Flag("dry-run", default="none", bare="unchanged"),
    Flag("local", "bool", refused=True),
)


@pytest.mark.parametrize(
    ("name", "words", "expected"),
    [
        ("next word", ["-o", "wide"], {"output": "wide"}),
        ("attached", ["-owide"], {"output": "wide"}),
        ("attached with =", ["-o=wide"], {"output": "wide"}),
        ("long with =", ["--output=a=b"], {"output": "a=b"}),
        ("a value that looks like an option", ["-o", "-w"], {"output": "-w"}),
        ("combined", ["-itw"], {"stdin": True, "tty": True, "watch": True}),
        ("combined with a value", ["-wo", "x"], {"watch": True, "output": "x"}),
        ("bool switched off", ["--wait=false"], {"wait": False}),
        ("a bool takes no next word", ["--watch", "false"], {"watch": True}),
        ("split list", ["-L", "a,b", "-Lc"], {"label-columns": ("a", "b", "c")}),
        ("unsplit list", ["--env", "a=1,2", "--env=b=3"], {"env": ("a=1,2", "b=3")}),
        ("integer", ["--tail", "0x10"], {"tail": 16}),
        ("duration", ["--timeout=1m30s"], {"timeout": 90.0}),
        ("bare value", ["--dry-run"], {"dry-run": "unchanged"}),
        ("bare value given", ["--dry-run=client"], {"dry-run": "client"}),
    ],
)
def test_values(name, words, expected):
    parsed = parse(words, FLAGS)
    assert {key: parsed[key] for key in expected} == expected
    assert parsed.given == set(expected)


def test_defaults():
    parsed = parse([], FLAGS)
    assert (parsed["wait"], parsed["tail"], parsed["output"]) == (True, -1, None)
    assert parsed["env"] == ()
    assert not parsed.has("wait")


def test_arguments_and_double_dash():
    parsed = parse(["pod", "-w", "x", "--", "-o", "--", "y"], FLAGS)
    assert (parsed.args, parsed.dash) == (["pod", "x", "-o", "--", "y"], 2)
    assert parse(["a", "-"], FLAGS).args == ["a", "-"]
    assert parse(["a", "-w"], FLAGS, interspersed=False).args == ["a", "-w"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--local"], "netlab does not support --local"),
        (["--nope"], "unknown flag: --nope"),
        (["-x"], "unknown shorthand flag: 'x' in -x"),
        (["-wxy"], "unknown shorthand flag: 'x' in -wxy"),
        (["--output"], "flag needs an argument: --output"),
        (["-wo"], "flag needs an argument: 'o' in -wo"),
        (["---x"], "bad flag syntax: ---x"),
        (["--tail=x"], 'invalid argument "x" for "--tail" flag: strconv.ParseInt: parsing "x": invalid syntax'),
        (["-w=maybe"], 'invalid argument "maybe" for "-w, --watch" flag: strconv.ParseBool: parsing "maybe": invalid syntax'),
        (["--timeout=5"], 'invalid argument "5" for "--timeout" flag: time: missing unit in duration "5"'),
    ],
)  # fmt: skip
def test_mistakes(words, message):
    with pytest.raises(FlagError) as caught:
        parse(words, FLAGS)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("-1s", -1), ("1.5h", 5400), ("300ms", 0.3), ("1h2m3s", 3723), ("2us", 2e-6)],
)
def test_durations(text, seconds):
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "s", "1x", ".s", "1", "1..2s", "1s2"])
def test_bad_durations(text):
    with pytest.raises(ValueError, match="time: "):
        parse_duration(text)


def test_help_names_everything():
    command = Command(
        "do", lambda *_: 0, usage="THING", text="Do it.", flags=FLAGS, examples=["do x"]
    )
    text = help_text("netlab", command)
    assert "netlab do THING" in text
    assert "  netlab do x\n" in text
    for flag in FLAGS:
        assert f"--{flag.name}" in text

"""What a Dockerfile's text means, and what is refused of it, before anything is done."""

import pytest

from netlab.errors import ImageError
from netlab.runtime.dockerfile.ignoring import Ignoring
from netlab.runtime.dockerfile.planning import CopyStep, FolderStep, RunStep, plan_build
from netlab.runtime.dockerfile.reading import expand_word, read_dockerfile, split_words
from netlab.runtime.recipe import DEFAULT_PATH, ImageConfig

BASE = ImageConfig(entrypoint=("/e",), cmd=("c",), env={"A": "1"}, working_dir="/w", user="u")


def plan(text, **arguments):
    return plan_build(
        read_dockerfile(text, "Dockerfile"), {"base": BASE, "b:2": BASE}.get, arguments
    )


def config(text, **arguments):
    return plan(f"FROM base\n{text}", **arguments)[-1].config


WORDS = {
    "plain": ("a b", ["a", "b"]),
    "quotes keep spaces": ("\"a b\" 'c d' e\\ f", ["a b", "c d", "e f"]),
    "variables": ('$A ${B} "$A-$B" ${A}x', ["1", "two words", "1-two words", "1x"]),
    "single quotes are literal": ("'$A' \\$A", ["$A", "$A"]),
    "defaults": ("${NO:-d} ${A:-d} ${A:+y}", ["d", "1", "y"]),
    "defaults of what is empty": ("${NO:+y} ${EMPTY-d} ${EMPTY:-d}", ["", "", "d"]),
    "unset is empty": ("x$NO", ["x"]),
}  # fmt: skip


@pytest.mark.parametrize(("text", "words"), WORDS.values(), ids=WORDS.keys())
def test_words(text, words):
    values = {"A": "1", "B": "two words", "EMPTY": ""}
    assert [expand_word(word, values) for word in split_words(text)] == words


CONFIGS = {
    "env": ("ENV B=2 C=\"x y\"", "env", {"PATH": DEFAULT_PATH, "A": "1", "B": "2", "C": "x y"}),
    "old env": ("ENV B two words", "env", {"PATH": DEFAULT_PATH, "A": "1", "B": "two words"}),
    "env adds": ("ENV PATH=/x:$PATH", "env", {"PATH": f"/x:{DEFAULT_PATH}", "A": "1"}),
    "cmd, exec form": ('CMD ["a", "b c"]', "cmd", ("a", "b c")),
    "cmd, shell form": ("CMD a $B", "cmd", ("/bin/sh", "-c", "a $B")),
    "entrypoint forgets the base's cmd": ('ENTRYPOINT ["x"]', "cmd", ()),
    "entrypoint keeps its own cmd": ('CMD ["y"]\nENTRYPOINT ["x"]', "cmd", ("y",)),
    "entrypoint, shell form": ("ENTRYPOINT x y", "entrypoint", ("/bin/sh", "-c", "x y")),
    "another shell": ('SHELL ["/bin/bash", "-ec"]\nCMD x', "cmd", ("/bin/bash", "-ec", "x")),
    "user": ("USER 1000:1000", "user", "1000:1000"),
    "the base's": ("LABEL a=b", "user", "u"),
    "folders add up": ("WORKDIR a\nWORKDIR b/../c", "working_dir", "/w/a/c"),
    "a folder from a variable": ("ENV D=/srv\nWORKDIR $D/x", "working_dir", "/srv/x"),
    "no way out": ("WORKDIR ../../..", "working_dir", "/"),
    "signal": ("STOPSIGNAL QUIT", "stop_signal", "SIGQUIT"),
    "continued lines": ("CMD a \\\n  # why\n\n  b", "cmd", ("/bin/sh", "-c", "a   b")),
    "passed over": ("EXPOSE 80\nVOLUME /v\nMAINTAINER me", "env", {"PATH": DEFAULT_PATH, "A": "1"}),
    "in small letters": ("user x", "user", "x"),
    "arg": ("ARG V=1\nENV X=$V", "env", {"PATH": DEFAULT_PATH, "A": "1", "X": "1"}),
}  # fmt: skip


@pytest.mark.parametrize(("text", "name", "value"), CONFIGS.values(), ids=CONFIGS.keys())
def test_what_an_image_says(text, name, value):
    assert getattr(config(text), name) == value


def test_arguments_are_given_by_name_and_are_no_part_of_the_image():
    text = "ARG T=2\nFROM b:$T\nARG V=1\nARG T\nRUN echo\nENV X=$V$T"
    (stage,) = plan(text, V="9")
    assert stage.base == "b:2"
    assert (stage.config.env["X"], "V" in stage.config.env) == ("92", False)
    assert stage.steps[0].config.env["V"] == "9"


def test_steps_in_order():
    files = "COPY --chown=1:2 --chmod=755 a b sub/\nADD x /y"
    (stage,) = plan(f'FROM base\nWORKDIR /srv\n{files}\nRUN one && \\\n two\nRUN ["x"]')
    folder, copy, add, run, other = stage.steps
    assert folder == FolderStep("Dockerfile:2", "/srv")
    assert copy == CopyStep("Dockerfile:3", ["a", "b"], "/srv/sub/", None, "1:2", 0o755)
    assert (add.target, add.sources) == ("/y", ["x"])
    assert isinstance(run, RunStep)
    assert (run.place, run.argv) == ("Dockerfile:5", ("/bin/sh", "-c", "one &&  two"))
    assert (other.argv, other.config.working_dir) == (("x",), "/srv")


def test_stages():
    copies = "COPY --from=one /a /a\nCOPY --from=0 /b /"
    first, second, third = plan(f"FROM base AS One\nENV B=2\nFROM scratch\n{copies}\nFROM one")
    assert [step.stage for step in second.steps] == [0, 0]
    assert (first.base, second.base, third.base) == ("base", "scratch", 0)
    assert third.config.env["B"] == "2"


REFUSED = {
    "nothing": ("# only\n", "Dockerfile: has no instruction"),
    "no base": ("ARG X=1\n", "Dockerfile: has no FROM"),
    "before the base": ("RUN x\nFROM base", "Dockerfile:1: RUN: comes before FROM"),
    "unknown base": ("FROM nosuch:1", "Dockerfile:1: FROM: nosuch:1: not on this machine; run: "),
    "unknown": ("FROM base\nFOO x", "Dockerfile:2: FOO: no such instruction"),
    "health": ("FROM base\nHEALTHCHECK CMD x", "Dockerfile:2: HEALTHCHECK: not supported"),
    "onbuild": ("FROM base\n\n\nONBUILD RUN x", "Dockerfile:4: ONBUILD: not supported"),
    "mount": ("FROM base\nRUN --mount=type=cache x", "Dockerfile:2: RUN: --mount: not supported"),
    "network": ("FROM base\nRUN --network=host x", "Dockerfile:2: RUN: --network: not supported"),
    "here-document": ("FROM base\nRUN <<EOF\nx\nEOF", "Dockerfile:2: RUN: here-documents are not"),
    "address": ("FROM base\nADD https://x/y /", "Dockerfile:2: ADD: https://x/y: nothing is downl"),
    "archive": ("FROM base\nADD a.tar.gz /", "Dockerfile:2: ADD: a.tar.gz: archives are not unp"),
    "stage": ("FROM base\nCOPY --from=x a /", "Dockerfile:2: COPY: --from=x: no earlier stage"),
    "own stage": ("FROM base AS x\nCOPY --from=x a /", "Dockerfile:2: COPY: --from=x: no earlier"),
    "one word": ("FROM base\nCOPY a", "Dockerfile:2: COPY: want: SOURCE... TARGET"),
    "many into a file": ("FROM base\nCOPY a b c", "Dockerfile:2: COPY: c: with several sources"),
    "mode": ("FROM base\nCOPY --chmod=u+x a /", "Dockerfile:2: COPY: --chmod=u+x: want an octal"),
    "env": ("FROM base\nENV A=1 B", "Dockerfile:2: ENV: B: want NAME=VALUE"),
    "says nothing": ("FROM base\nCMD", "Dockerfile:2: CMD: says nothing"),
    "escape": ("# escape=`\nFROM base", "Dockerfile:1: escape: only the backslash is known"),
    "scratch runs nothing": ("FROM scratch\nRUN x", "Dockerfile:2: RUN: scratch has nothing"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "cause"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_not_known_is_refused_with_its_line(text, cause):
    with pytest.raises(ImageError) as refused:
        plan(text)
    assert str(refused.value).startswith(cause)
    assert "\n" not in str(refused.value)


IGNORED = {
    "a name": ("x.txt", ["x.txt"], ["y/x.txt", "x.txt2"]),
    "below a folder": ("node_modules", ["node_modules", "node_modules/a/b"], ["a/node_modules"]),
    "anywhere": ("**/*.log", ["a.log", "b/c/a.log"], ["a.log.txt"]),
    "a star stops at slashes": ("*.md", ["a.md"], ["b/a.md"]),
    "brought back": ("*.md\n!README.md", ["a.md"], ["README.md"]),
    "the last decides": ("!a\na", ["a"], []),
    "comments": ("# x\n\n/lead/", ["lead", "lead/x"], ["x"]),
    "one letter": ("a?c", ["abc"], ["ac", "a/c"]),
}


@pytest.mark.parametrize(("text", "out", "kept"), IGNORED.values(), ids=IGNORED.keys())
def test_what_dockerignore_leaves_out(text, out, kept):
    ignoring = Ignoring(text)
    assert all(ignoring.leaves_out(path) for path in out)
    assert not any(ignoring.leaves_out(path) for path in kept)

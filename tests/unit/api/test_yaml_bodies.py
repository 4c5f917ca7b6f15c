"""YAML bodies are read as Kubernetes reads them, and stand for no more than a request may."""

import pytest

from netlab.api.bodies import MAX_NODES
from netlab.api.yaml_bodies import decode_yaml
from netlab.errors import ApiError

SCALARS = {
    "yes": True, "off": False, "~": None, "": None, "y": "y", "1_000": 1000, "0x1F": 31, "022": 18,
    "0b11": 3, "-7": -7, "+3": 3, "09": 9.0, ".5": 0.5, "1e3": 1000.0, "1.": 1.0, "22:22": "22:22",
    "2001-01-01": "2001-01-01", "'1'": "1", '"1"': "1", "!!str 1": "1", "!!int '3'": 3,
    "!!float 1": 1.0, "!!binary aGk=": "hi", "!mine a": "a", "1.2.3": "1.2.3", "1e400": "1e400",
    "18446744073709551615": 2**64 - 1, "99999999999999999999": 1e20, "-": [None], "é": "é",
}  # fmt: skip


@pytest.mark.parametrize(("text", "value"), SCALARS.items())
def test_scalars(text, value):
    read, _ = decode_yaml(f"a: {text}\n".encode() if text != "-" else b"a:\n-\n")
    assert read == {"a": value}
    assert type(read["a"]) is type(value)


def test_structures():
    body = b"base: &b {x: 1, y: 2}\na: {<<: *b, y: 3}\nb: {<<: [{x: 4}, *b]}\n1: !!set {p, q}\n"
    assert decode_yaml(body)[0] == {
        "base": {"x": 1, "y": 2},
        "a": {"x": 1, "y": 3},
        "b": {"x": 4, "y": 2},
        "1": {"p": None, "q": None},
    }


def test_what_an_alias_gives_is_a_copy():
    read, _ = decode_yaml(b"a: &a {x: [1]}\nb: *a\n")
    read["b"]["x"].append(2)
    assert read["a"] == {"x": [1]}


def aliases(levels):
    lines = ["a: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    for level in range(1, levels + 1):
        lines.append(f"b{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]")
    return "\n".join(lines).encode()


BAD = {
    "aliases of aliases": (aliases(9), 400, "document contains excessive aliasing"),
    "aliases of a long text": (
        b"a: &a '" + b"x" * 100_000 + b"'\nb: [" + b"*a," * 100 + b"]",
        400,
        "document contains excessive aliasing",
    ),
    "an alias of itself": (b"a: &a [*a]", 400, "anchor 'a' value contains itself"),
    "no such anchor": (b"a: *b", 400, "unknown anchor 'b' referenced"),
    "many keys": (b"".join(b"k%d: v\n" % i for i in range(MAX_NODES + 1)), 413, "at most"),
    "deep": (b"a: " + b"[" * 201 + b"]" * 201, 400, "max depth"),
    "directives": (b"%TAG !a! b\n" * 17 + b"---\na: 1", 400, "at most 16 directives"),
    "no number": (b"a: !!int x", 400, "cannot decode !!str `x` as a !!int"),
    "not finite": (b"a: -.Inf", 400, "unsupported value"),
    "a key that is a map": (b"{a: 1}: 2", 400, "invalid map key"),
    "two documents": (b"a: 1\n---\nb: 1\n", 400, "expected a single document"),
    "merging a text": (b"<<: a", 400, "map merge requires"),
    "no mapping": (b"- a", 400, "cannot unmarshal array"),
    "nothing": (b"", 400, "cannot unmarshal null"),
    "no UTF-8": (b"a: \xff", 400, "error converting YAML to JSON"),
}


@pytest.mark.parametrize(("body", "code", "message"), BAD.values(), ids=BAD)
def test_bad_documents(body, code, message):
    with pytest.raises(ApiError) as caught:
        decode_yaml(body)
    assert caught.value.code == code
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)

"""Names are judged by Kubernetes' rules, in its words."""

import random

import pytest

from netlab.api import names
from netlab.api.generate import ALPHABET, generate_name

SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or"
    " '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used"
    r" for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must"
    " start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for"
    " validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
QUALIFIED = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end"
    " with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for"
    " validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)


@pytest.mark.parametrize(
    ("rule", "value", "messages"),
    [
        (names.dns1123_subdomain, "a.b-c", []),
        (names.dns1123_subdomain, "A", [SUBDOMAIN]),
        (names.dns1123_subdomain, "", [SUBDOMAIN]),
        (names.dns1123_subdomain, "a" * 254, ["must be no more than 253 bytes"]),
        (names.dns1123_label, "web-1", []),
        (names.dns1123_label, "a.b", ["must not contain dots"]),
        (names.dns1123_label, "-a", [LABEL]),
        (names.dns1123_label, "a\n", [LABEL]),
        (names.dns1035_label, "web", []),
        (names.label_value, "", []),
        (names.label_value, "v1.2_x", []),
        (names.label_value, "a" * 64, ["must be no more than 63 bytes"]),
        (names.qualified_name, "example.com/My_Name", []),
        (names.qualified_name, "/x", ["prefix part must be non-empty"]),
        (names.qualified_name, "x/", ["name part must be non-empty", QUALIFIED]),
        (names.qualified_name, "Ex.com/x", [f"prefix part {SUBDOMAIN}"]),
        (names.iana_svc_name, "http", []),
        (names.iana_svc_name, "80", ["must contain at least one letter (a-z)"]),
        (names.iana_svc_name, "a--b", ["must not contain consecutive hyphens"]),
        (names.iana_svc_name, "a" * 16, ["must be no more than 15 bytes"]),
        (names.port_number, 0, ["must be between 1 and 65535, inclusive"]),
        (names.port_number, 65535, []),
        (names.config_key, "a/b", None),
        (names.config_key, "..", ["must not be '..'"]),
        (names.env_var_name, "MY VAR.1", []),
        (names.env_var_name, "A=B", None),
        (names.ip_address, "10.0.0.1", []),
        (
            names.ip_address,
            "10.0.0.256",
            ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"],
        ),
        (names.percentage, "25%", []),
        (names.percentage, "25", None),
    ],
)
def test_names(rule, value, messages):
    found = rule(value)
    assert len(found) == 1 if messages is None else found == messages


def test_three_parts_are_no_qualified_name():
    (message,) = names.qualified_name("a/b/c")
    assert message.startswith("a qualified name must consist of")
    assert message.endswith("(e.g. 'example.com/MyName')")


def test_dns1035_wants_a_letter_first():
    (message,) = names.dns1035_label("1a")
    assert message.startswith("a DNS-1035 label must consist of")


def test_generated_names():
    name = generate_name("web-", random.Random(1))
    assert name.startswith("web-")
    assert len(name) == 9
    assert set(name[4:]) <= set(ALPHABET)
    assert len(generate_name("x" * 100, random.Random(1))) == 63


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0),
        ("007", 7),
        ("0" * 5000 + "7", 7),
        (str((1 << 63) - 1), (1 << 63) - 1),
        (str(1 << 63), None),
        ("9" * 5000, None),
        ("", None),
        ("-1", None),
        ("1_0", None),
        ("٣", None),
    ],
)
def test_numbers(text, number):
    assert names.int64(text) == number

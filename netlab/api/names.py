"""Which strings may be names, label keys, label values, port names and the like.

Mirrors ``k8s.io/apimachinery/pkg/util/validation``. Every function returns the list of messages,
in Kubernetes' own words, that say what is wrong; an empty list means that the value is fine.
"""

from __future__ import annotations

import ipaddress
import re

LABEL_MAX_LENGTH = 63
SUBDOMAIN_MAX_LENGTH = 253

_DNS1123_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_DNS1123_SUBDOMAIN = rf"{_DNS1123_LABEL}(\.{_DNS1123_LABEL})*"
_DNS1035_LABEL = "[a-z]([-a-z0-9]*[a-z0-9])?"
_QUALIFIED_NAME = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL_VALUE = f"({_QUALIFIED_NAME})?"
_CONFIG_KEY = "[-._a-zA-Z0-9]+"
_PERCENT = "[0-9]+%"

_is_dns1123_label = re.compile(_DNS1123_LABEL).fullmatch
_is_dns1123_subdomain = re.compile(_DNS1123_SUBDOMAIN).fullmatch
_is_dns1035_label = re.compile(_DNS1035_LABEL).fullmatch
_is_qualified_name = re.compile(_QUALIFIED_NAME).fullmatch
_is_label_value = re.compile(_LABEL_VALUE).fullmatch
_is_config_key = re.compile(_CONFIG_KEY).fullmatch
_is_percent = re.compile(_PERCENT).fullmatch
_is_port_name = re.compile("[-a-z0-9]+").fullmatch
_HTTP_HEADER = "[-A-Za-z0-9]+"
_is_http_header = re.compile(_HTTP_HEADER).fullmatch
_has_letter = re.compile("[a-z]").search
_is_env_name = re.compile(r"[ -<>-~]+").fullmatch


def _regex_message(text: str, pattern: str, *examples: str) -> str:
    """Return ``text`` with examples and the pattern, laid out as Kubernetes does."""
    if not examples:
        return f"{text} (regex used for validation is '{pattern}')"
    shown = " or ".join(f"'{example}', " for example in examples)
    return f"{text} (e.g. {shown}regex used for validation is '{pattern}')"


def _length_message(limit: int) -> str:
    return f"must be no more than {limit} bytes"


def dns1123_label(value: str) -> list[str]:
    """Say why ``value`` is not a label of RFC 1123 (namespaces, containers, volumes)."""
    messages = []
    if len(value.encode()) > LABEL_MAX_LENGTH:
        messages.append(_length_message(LABEL_MAX_LENGTH))
    if not _is_dns1123_label(value):
        if _is_dns1123_subdomain(value):
            # the common mistake: a dotted name where one label belongs
            messages.append("must not contain dots")
        else:
            messages.append(
                _regex_message(
                    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters"
                    " or '-', and must start and end with an alphanumeric character",
                    _DNS1123_LABEL,
                    "my-name",
                    "123-abc",
                )
            )
    return messages


def dns1123_subdomain(value: str) -> list[str]:
    """Say why ``value`` is not a subdomain of RFC 1123 (the names of most objects)."""
    messages = []
    if len(value.encode()) > SUBDOMAIN_MAX_LENGTH:
        messages.append(_length_message(SUBDOMAIN_MAX_LENGTH))
    if not _is_dns1123_subdomain(value):
        messages.append(
            _regex_message(
                "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters,"
                " '-' or '.', and must start and end with an alphanumeric character",
                _DNS1123_SUBDOMAIN,
                "example.com",
            )
        )
    return messages


def dns1035_label(value: str) -> list[str]:
    """Say why ``value`` is not a label of RFC 1035 (the names of Services)."""
    messages = []
    if len(value.encode()) > LABEL_MAX_LENGTH:
        messages.append(_length_message(LABEL_MAX_LENGTH))
    if not _is_dns1035_label(value):
        messages.append(
            _regex_message(
                "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start"
                " with an alphabetic character, and end with an alphanumeric character",
                _DNS1035_LABEL,
                "my-name",
                "abc-123",
            )
        )
    return messages


def qualified_name(value: str) -> list[str]:
    """Say why ``value`` is not ``[subdomain/]name`` (label and annotation keys, finalizers)."""
    prefix, slash, name = value.rpartition("/")
    messages = []
    if "/" in prefix:
        text = (
            "must consist of alphanumeric characters, '-', '_' or '.', and must start and end"
            " with an alphanumeric character"
        )
        examples = ("MyName", "my.name", "123-abc")
        return [
            "a qualified name "
            + _regex_message(text, _QUALIFIED_NAME, *examples)
            + " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        ]
    if slash and not prefix:
        messages.append("prefix part must be non-empty")
    elif slash:
        messages += [f"prefix part {message}" for message in dns1123_subdomain(prefix)]
    return messages + _name_part(name)


def _name_part(name: str) -> list[str]:
    messages = []
    if not name:
        messages.append("name part must be non-empty")
    elif len(name.encode()) > LABEL_MAX_LENGTH:
        messages.append(f"name part {_length_message(LABEL_MAX_LENGTH)}")
    if not _is_qualified_name(name):
        messages.append(
            "name part "
            + _regex_message(
                "must consist of alphanumeric characters, '-', '_' or '.', and must start and end"
                " with an alphanumeric character",
                _QUALIFIED_NAME,
                "MyName",
                "my.name",
                "123-abc",
            )
        )
    return messages


def label_value(value: str) -> list[str]:
    """Say why ``value`` is not the value of a label; the empty string is one."""
    messages = []
    if len(value.encode()) > LABEL_MAX_LENGTH:
        messages.append(_length_message(LABEL_MAX_LENGTH))
    if not _is_label_value(value):
        messages.append(
            _regex_message(
                "a valid label must be an empty string or consist of alphanumeric characters, '-',"
                " '_' or '.', and must start and end with an alphanumeric character",
                _LABEL_VALUE,
                "MyValue",
                "my_value",
                "12345",
            )
        )
    return messages


def iana_svc_name(value: str) -> list[str]:
    """Say why ``value`` is not the name of a port (IANA_SVC_NAME).

    Source: RFC 6335, section 5.1.
    """
    messages = []
    # 15 characters, because the name must fit into a SRV label with room to spare
    if len(value.encode()) > 15:
        messages.append(_length_message(15))
    if not _is_port_name(value):
        messages.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not _has_letter(value):
        messages.append("must contain at least one letter (a-z)")
    if "--" in value:
        messages.append("must not contain consecutive hyphens")
    if value.startswith("-") or value.endswith("-"):
        messages.append("must not begin or end with a hyphen")
    return messages


def port_number(value: int) -> list[str]:
    """Say why ``value`` is not a port."""
    return [] if 1 <= value <= 65535 else ["must be between 1 and 65535, inclusive"]


def percentage(value: str) -> list[str]:
    """Say why ``value`` is not a percentage such as ``25%``."""
    if _is_percent(value):
        return []
    text = "a valid percent string must be a numeric string followed by an ending '%'"
    return [_regex_message(text, _PERCENT, "1%", "93%")]


def config_key(value: str) -> list[str]:
    """Say why ``value`` is not a key of a ConfigMap or Secret (it may become a file name)."""
    messages = []
    if len(value.encode()) > SUBDOMAIN_MAX_LENGTH:
        messages.append(_length_message(SUBDOMAIN_MAX_LENGTH))
    if not _is_config_key(value):
        messages.append(
            _regex_message(
                "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
                _CONFIG_KEY,
                "key.name",
                "KEY_NAME",
                "key-name",
            )
        )
    if value in (".", ".."):
        messages.append(f"must not be '{value}'")
    elif value.startswith(".."):
        messages.append("must not start with '..'")
    return messages


def env_var_name(value: str) -> list[str]:
    """Say why ``value`` is not the name of an environment variable."""
    if not value:
        return ["environment variable name must be non-empty"]
    if _is_env_name(value):
        return []
    return [
        "a valid environment variable name must consist only of printable ASCII characters"
        " other than '='"
    ]


def http_header_name(value: str) -> list[str]:
    """Say why ``value`` is not the name of a header of HTTP."""
    if _is_http_header(value):
        return []
    text = "a valid HTTP header must consist of alphanumeric characters or '-'"
    return [_regex_message(text, _HTTP_HEADER, "X-Header-Name")]


def int64(text: str) -> int | None:
    """Return the number that decimal digits write; None for no number, or one of more bits.

    As Go's ``strconv.ParseInt`` reads it, but for signs. Python's ``int`` alone reads digits of
    other scripts, and refuses those beyond 4300 with an error that looks like no other.
    """
    if not (text.isascii() and text.isdigit()) or len(text.lstrip("0")) > 19:
        return None
    number = int(text.lstrip("0") or "0")
    return number if number < 1 << 63 else None


def ip_address(value: str) -> list[str]:
    """Say why ``value`` is not an IP address (both families)."""
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"]
    return []


def routed_address(value: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Return the address that packets go to: of an IPv4 address written as IPv6, the IPv4 one.

    Whoever asks whether an address is a loopback asks this one: ``::ffff:127.0.0.1`` is one, which
    Python before 3.13 does not say.

    Raises: ValueError for what is no address.
    """
    address = ipaddress.ip_address(value)
    return getattr(address, "ipv4_mapped", None) or address


def ip_network(value: str) -> list[str]:
    """Say why ``value`` is not a range of addresses in CIDR notation."""
    try:
        if "/" not in value:
            raise ValueError(value)
        ipaddress.ip_network(value, strict=False)
    except ValueError:
        return ["must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"]
    return []

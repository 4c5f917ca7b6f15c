"""Quantities are written as Kubernetes writes them."""

import pytest

from netlab.api.quantities import canonical, parse_quantity


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("500m", "500m"),
        ("0.5", "500m"),
        (0.5, "500m"),
        (2, "2"),
        ("1000m", "1"),
        ("1500m", "1500m"),
        ("1024Mi", "1Gi"),
        ("1.5Gi", "1536Mi"),
        ("0.1Ki", "102400m"),
        ("1024", "1024"),
        ("100000k", "100M"),
        ("12e6", "12e6"),
        ("1e3", "1e3"),
        ("0.0000000001", "1n"),
        ("0Gi", "0"),
        ("-1", "-1"),
        ("+5", "5"),
        ("99E", "9223372036854775807"),
    ],
)
def test_canonical(written, expected):
    assert canonical(written) == expected
    assert canonical(expected) == expected


@pytest.mark.parametrize("text", ["", "x", "1 Gi", "1GI", "1.2.3", "Mi", "1e", True, None, []])
def test_refusals(text):
    with pytest.raises(ValueError, match="quantities must match the regular expression"):
        canonical(text)


def test_values_round_up():
    assert parse_quantity("1500m").whole() == 2
    assert parse_quantity("0.1m").milli() == 1
    assert parse_quantity("64Mi").whole() == 64 * 2**20

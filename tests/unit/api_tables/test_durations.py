"""Ages as Kubernetes writes them."""

from datetime import UTC, datetime

import pytest

from netlab.api.durations import age, human_duration, parse_time

MINUTE, HOUR, DAY, YEAR = 60, 3600, 86400, 365 * 86400


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (-5, "<invalid>"),
        (-1.5, "0s"),
        (-0.5, "0s"),
        (0, "0s"),
        (119.9, "119s"),
        (120, "2m"),
        (266, "4m26s"),
        (599, "9m59s"),
        (600, "10m"),
        (3 * HOUR - 1, "179m"),
        (3 * HOUR, "3h"),
        (4 * HOUR + 26 * MINUTE, "4h26m"),
        (8 * HOUR + 59 * MINUTE, "8h"),
        (47 * HOUR, "47h"),
        (2 * DAY, "2d"),
        (2 * DAY + 5 * HOUR, "2d5h"),
        (8 * DAY + 5 * HOUR, "8d"),
        (2 * YEAR - 1, "729d"),
        (2 * YEAR, "2y"),
        (2 * YEAR + 40 * DAY, "2y40d"),
        (8 * YEAR + 40 * DAY, "8y"),
    ],
)
def test_human_duration(seconds, expected):
    assert human_duration(seconds) == expected


def test_age():
    now = datetime(2026, 1, 1, 0, 0, 13, tzinfo=UTC)
    assert age("2026-01-01T00:00:00Z", now) == "13s"
    assert age("2026-01-01T01:00:00.500000+01:00", now) == "12s"
    assert age(None, now) == "<unknown>"
    assert age("", now) == "<unknown>"
    assert parse_time("nonsense") is None

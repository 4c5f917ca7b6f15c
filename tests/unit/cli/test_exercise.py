"""What ``netlab exercise check`` says at its end."""

import pytest

from netlab.cli.exercise import missing_words


@pytest.mark.parametrize(
    ("language", "missing", "words"),
    [
        ("en", 2, "2 of 2 not reached yet"),
        ("es", 2, "faltan 2 de 2"),
        ("es", 1, "falta 1 de 2"),
    ],
)
def test_what_is_missing(language, missing, words):
    assert missing_words(language, missing, 2) == words

"""What ``netlab exercise check`` says at its end."""

import pytest
from click.testing import CliRunner

from netlab.cli.exercise import exercise, missing_words


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


def test_all_verbs_on_an_exercise_take_a_lab():
    verbs = {
        name: {option for parameter in command.params for option in parameter.opts}
        for name, command in exercise.commands.items()
        if name != "list"
    }
    assert all("--name" in options for options in verbs.values())
    told = CliRunner().invoke(exercise, ["hint", "label", "--name", "shop", "--lang", "en"])
    assert told.exit_code == 0
    assert told.output.strip()

from collections.abc import Iterator
from pathlib import Path

import pytest

from netlab.scenario.model import Exercise, Expectation, Step
from netlab.scenario.runner import Runner

SAY = {"en": "Look", "es": "Mira"}


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[Runner]:
    with Runner(tmp_path, [], {}, tmp_path / "notes") as made:
        yield made


def terminal(run: str, *patterns: str, within_s: float = 5) -> Step:
    return Step(
        say=SAY, run=run, terminal="t", expect=Expectation(stdout=patterns), within_s=within_s
    )


def test_a_command_in_a_terminal_goes_on_while_later_steps_run(
    runner: Runner, tmp_path: Path
) -> None:
    follow = "echo up; until [ -e asked ]; do sleep 0.02; done; echo yes > answer"
    assert runner.run_step(terminal(follow, "^up$")).problems == []
    assert not (tmp_path / "answer").exists()
    asked = Step(say=SAY, run="touch asked")
    assert runner.run_step(asked).problems == []
    answer = Step(say=SAY, run="cat answer", expect=Expectation(stdout=("^yes$",)), within_s=5)
    assert runner.run_step(answer).problems == []


def test_a_terminal_is_ended_by_the_next_step_in_it_and_by_close(tmp_path: Path) -> None:
    with Runner(tmp_path, [], {}, tmp_path / "notes") as runner:
        for number in ("1", "2"):
            outcome = runner.run_step(
                terminal(
                    f"trap 'echo over >> ended{number}; exit' TERM; "
                    "echo up; while :; do sleep 0.05; done",
                    "^up$",
                )
            )
            assert outcome.problems == []
        assert (tmp_path / "ended1").read_text() == "over\n"
        assert not (tmp_path / "ended2").exists()
    assert (tmp_path / "ended2").read_text() == "over\n"


def test_a_step_that_only_ends_a_terminal_is_as_expected(runner: Runner) -> None:
    assert runner.run_step(terminal("", within_s=0)).problems == ()


def test_a_command_that_ends_too_early_says_so(runner: Runner) -> None:
    outcome = runner.run_step(terminal("echo no; exit 3", "^yes$"))
    assert outcome.problems == [
        "stdout does not show '^yes$'",
        "the command has ended with exit code 3",
    ]


def test_an_exercise_is_set_up_and_fixed_in_the_lessons_folder(
    runner: Runner, tmp_path: Path
) -> None:
    exercise = Exercise(
        name="x",
        title=SAY,
        say=SAY,
        setup="touch broken",
        goal=(Step(say=SAY, run="test ! -e broken"),),
        hints={"en": ("look",), "es": ("mira",)},
        fix="rm broken",
        cleanup="touch cleaned",
    )
    assert runner.set_up(exercise).problems == []
    assert runner.run_step(exercise.goal[0]).problems
    assert runner.fix(exercise).problems == []
    assert not runner.run_step(exercise.goal[0]).problems
    runner.clean_up(exercise)
    assert (tmp_path / "cleaned").exists()

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogitate.core.errors import InvalidInput
from cogitate.core.seeds import Seed
from cogitate.lab import ChainProblem, CountdownProblem, chain_problem, countdown_problem
from cogitate.lab.arithmetic import applied
from cogitate.rules import extract, matches


@given(st.integers(0, 10_000), st.integers(1, 40), st.integers(3, 50))
def test_chains_are_right_by_pythons_own_arithmetic(root: int, length: int, largest: int) -> None:
    problem = chain_problem(Seed(root), length, largest)
    assert len(problem.operations) == length
    text = problem.question.removeprefix("Work out ").removesuffix(", one operation at a time.")
    assert eval(text) == problem.answer
    assert all(abs(v) <= 10**6 + 50 for v in problem.values)
    assert all(problem.check([*problem.steps, f"#### {problem.answer}"]))
    assert problem.first_error(problem.solution.split("\n")) is None
    assert matches(extract(problem.solution, "number"), str(problem.answer), "number")


@given(st.integers(0, 10_000), st.integers(1, 12), st.data())
def test_the_first_wrong_step_is_found(root: int, length: int, data: st.DataObject) -> None:
    problem = chain_problem(Seed(root), length)
    wrong = data.draw(st.integers(0, length - 1))
    off = data.draw(st.integers(1, 9))
    steps = list(problem.steps[:wrong])
    value = problem.values[wrong]
    for number in range(wrong, length):
        sign, by = problem.operations[number]
        if number == wrong or sign == "/":
            said = problem.values[number + 1] + off
        else:
            said = applied(value, sign, by)
        steps.append(f"{value} {sign} {by} = {said}")
        value = said
    assert problem.first_error(steps) == wrong
    assert problem.check(steps)[:wrong] == (True,) * wrong


def test_steps_out_of_order_or_beyond_the_end_are_wrong() -> None:
    problem = ChainProblem(3, (("+", 4), ("*", 2)))
    assert problem.check(["7 * 2 = 14"]) == (False,)
    assert problem.check(["3 + 4 = 7 and 7 * 2 = 14", "14 + 1 = 15"]) == (True, False)
    assert problem.check(["So we begin.", "3 + 4 = 7"]) == (True, True)
    assert problem.check(["3 + 4 = 8", "7 * 2 = 14", "#### 14"]) == (False, True, True)
    assert problem.check(["#### 13"]) == (False,)


@given(st.integers(0, 10_000), st.integers(2, 8), st.integers(3, 60))
def test_every_countdown_has_its_solution(root: int, numbers: int, largest: int) -> None:
    problem = countdown_problem(Seed(root), numbers, largest)
    assert len(problem.numbers) == numbers
    assert problem.reached(problem.known)
    assert eval(problem.known) == problem.target


@pytest.mark.parametrize(
    ("expression", "right"),
    [
        ("(2 + 3) * 5", True),
        ("5*3+2*5", False),  # the 5 is there once
        ("25", False),
        ("5 * 5", False),
        ("(2 + 3) * 5 = 25", False),
        ("(2 + 3 * 5", False),
        ("2 / 0", False),
        ("", False),
        ("__import__('os')", False),
        ("(" * 400, False),
        ("5 ** 2", False),
        ("-5 + 30", False),
    ],
)
def test_expressions_are_checked_and_never_run(expression: str, right: bool) -> None:
    assert CountdownProblem((2, 3, 5), 25, "(2 + 3) * 5").reached(expression) is right


def test_fractions_on_the_way_are_exact() -> None:
    assert CountdownProblem((1, 3, 3), 3, "").reached("3 / (1 / 3) / 3") is False
    assert CountdownProblem((8, 3, 8, 3), 24, "").reached("8 / (3 - 8 / 3)")
    assert not CountdownProblem((1, 3, 3), 3, "").reached("1 / 3 + 3")


def test_countdown_steps_use_up_their_numbers() -> None:
    problem = CountdownProblem((2, 3, 5), 25, "(2 + 3) * 5")
    assert problem.check(["2 + 3 = 5", "5 * 5 = 25"]) == (True, True)
    assert problem.check(["2 + 3 = 6"]) == (False,)
    assert problem.check(["2 + 2 = 4"]) == (False,)
    assert problem.check(["Think.", "3 - 2 = 1", "3 + 5 = 8"]) == (True, True, False)


def test_senseless_sizes_are_refused() -> None:
    with pytest.raises(InvalidInput, match="between 1 and 64"):
        chain_problem(Seed(0), 0)
    with pytest.raises(InvalidInput, match="2 to 8"):
        countdown_problem(Seed(0), 9)
    for make in (chain_problem, countdown_problem):
        with pytest.raises(InvalidInput, match="at least 3"):
            make(Seed(0), 4, 2)


def test_problems_differ_by_seed_and_not_by_run() -> None:
    found = {chain_problem(Seed(i)).question for i in range(50)}
    assert len(found) > 45
    assert chain_problem(Seed(7)) == chain_problem(Seed(7))
    assert countdown_problem(Seed(7)) == countdown_problem(Seed(7))

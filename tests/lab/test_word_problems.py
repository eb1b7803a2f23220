from __future__ import annotations

import re
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogitate.core.errors import InvalidInput
from cogitate.core.seeds import Seed
from cogitate.lab import word_problem, word_problems
from cogitate.lab.tasks import _EVENTS


def told(question: str) -> Fraction:
    """The answer read back from the words, apart from the generator."""
    sentences = re.split(r"(?<=[.?])\s", question)
    (start,) = re.findall(r"\d+", sentences[0])
    have = Fraction(start)
    for sentence in sentences[1:-1]:
        (number,) = map(Fraction, re.findall(r"\d+", sentence))
        if "more" in sentence:
            have += number
        elif "loses" in sentence or "gives" in sentence:
            have -= number
        elif "times as many" in sentence:
            have *= number
        elif "equal boxes" in sentence:
            have /= number
        else:
            raise AssertionError(sentence)
    return have


@given(st.integers(0, 10**9), st.integers(1, 8), st.integers(3, 200))
def test_the_words_and_the_answer_agree(root: int, difficulty: int, largest: int) -> None:
    problem = word_problem(Seed(root), difficulty, largest)
    assert told(problem.question) == problem.answer
    assert problem.answer > 0
    assert len(problem.working) == len(problem.template.split("+")) == difficulty
    for line in problem.working:
        left, right = line.split(" = ")
        a, sign, b = left.split()
        x, y = Fraction(a), Fraction(b)
        assert {"+": x + y, "-": x - y, "*": x * y, "/": x / y}[sign] == Fraction(right)
    assert problem.solution.endswith(f"#### {problem.answer}")


def test_equal_seeds_give_equal_problems_and_others_differ() -> None:
    assert word_problems(20, Seed(1), 2) == word_problems(20, Seed(1), 2)
    assert word_problems(20, Seed(1), 2) != word_problems(20, Seed(2), 2)
    many = word_problems(500, difficulty=2)
    assert len({p.question for p in many}) == 500
    assert many[:7] == word_problems(7, difficulty=2)


def test_every_event_happens_and_the_answer_is_not_in_the_task() -> None:
    names = {n for p in word_problems(300, difficulty=3) for n in p.template.split("+")}
    assert names == {e.name for e in _EVENTS}
    problem = word_problem(Seed(0))
    assert problem.task.kind == "number"
    assert problem.task.question == problem.question
    assert not problem.task.meta


@pytest.mark.parametrize("difficulty", [0, -1, 9])
def test_a_difficulty_out_of_range_is_refused(difficulty: int) -> None:
    with pytest.raises(InvalidInput, match="between 1 and 8"):
        word_problem(Seed(0), difficulty)


def test_what_cannot_be_found_is_refused() -> None:
    with pytest.raises(InvalidInput, match="at least 3"):
        word_problem(Seed(0), largest=2)
    with pytest.raises(InvalidInput, match="different problems"):
        word_problems(3_000, largest=3)

"""Extraction: what a text states as its answer, and when it states none."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogitate.rules.extraction import extract

KINDS = ("math", "number", "choice", "text", "json", "code")


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("5 + 3 = 8\n#### 8", "8"),
        ("so he takes 16 * 6 = 96 marbles.#### 96", "96"),
        ("#### $1,024", "1,024"),
        ("#### 18 dollars", "18"),
        ("#### \\(\\frac{3}{4}\\)", "3/4"),
        ("#### 3 million", "3000000"),
        ("#### 2. Calculate the time\n\\boxed{7}", "7"),
        ("#### 2. Calculate the time", None),
        ("### Step 3: add\n#### Step 4: 5 + 5", None),
        (r"Therefore, \(\boxed{42}\) dollars.", "42"),
        (r"\boxed{3} and then \boxed{18 \text{ dollars}}", "18"),
        (r"\boxed{50}\%", r"50\%"),
        ("The answer is 12.", "12"),
        ("The answer is: 5.5.", "5.5"),
        ("The final answer is $10,455$. I hope it is correct.", "10,455"),
        ("**Answer:** 42", "42"),
        ("**Final Answer**\n\n$5$", "5"),
        ("The answer to the question is 3 + 4 = 7 apples", "7"),
        ("The answer is 5, not 6.", "5"),
        ("The answer is not 5.", None),
        ("The answer is definitely not 5.", None),
        ("The answer isn't 5.", None),
        ("The answer is not 5. The answer is 6.", "6"),
        ("The answer is 6. The answer is not 5.", "6"),
        ("Answer: 3 or 4", None),
        ("Answer: -3/4", "-3/4"),
        ("Answer: 1.5e3", "1.5e3"),
        ("42", "42"),
        ("There are 7 birds left.", None),
        ("I do not know.", None),
        ("The answer is unknown.", None),
        ("<think>the answer is 3</think>The answer is 4", "4"),
        (r"\boxed{7", None),
        (r"\boxed{}", None),
        ("", None),
    ],
)
def test_numbers(text: str, answer: str | None) -> None:
    assert extract(text, "number") == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"so \boxed{\frac{1}{\sqrt{2}}}.", r"\frac{1}{\sqrt{2}}"),
        (r"\boxed{\boxed{7}}", r"\boxed{7}"),
        (r"\boxed{\left\{1, 2\right\}}", r"\left\{1, 2\right\}"),
        (r"first \boxed{1}, much later and on its own \boxed{2}", "2"),
        (r"\boxed{-2} \quad \text{and} \quad \boxed{1}", "-2, 1"),
        (r"\boxed{1} and \boxed{1}", "1"),
        (r"\boxed{\frac{1}{2}", None),
        ("The answer is $x^2 + 1$.", "$x^2 + 1$"),
        ("The answer is the interval $[0, 1)$", "[0, 1)"),
        ("Final answer: (3, 4)", "(3, 4)"),
        ("Answer: 1 and 2.", "1 and 2"),
        (r"\boxed{3}. Wait. Final answer: 4", "4"),
        ("The answer is not $5$", None),
        ("$\\frac12$", "$\\frac12$"),
        ("we know $x=3$ here and there", None),
    ],
)
def test_mathematics(text: str, answer: str | None) -> None:
    assert extract(text, "math") == answer


@pytest.mark.parametrize(
    ("text", "options", "answer"),
    [
        ("The answer is (B).", (), "B"),
        ("B", (), "B"),
        ("B) Paris", (), "B"),
        ("**Answer: C**", (), "C"),
        ("The correct answer is D because it fits", (), "D"),
        (r"\boxed{\text{(A)}}", (), "A"),
        ("I pick (B), as said.", (), "B"),
        ("I think (B) since (A) is wrong", (), None),
        ("The answer is a dog", (), None),
        ("The answer is not (B)", ("A", "C"), None),
        ("The answer is (E)", ("A", "B"), None),
        ("The answer is yes.", ("yes", "no"), "yes"),
        ("No", ("Yes", "No"), "No"),
        ("Answer: b", ("A", "B"), "B"),
        ("no letter at all", (), None),
    ],
)
def test_choices(text: str, options: tuple[str, ...], answer: str | None) -> None:
    assert extract(text, "choice", options=options) == answer


def test_json_is_the_last_outermost_value() -> None:
    assert extract('Sure: {"a": {"b": [1, 2]}} there.', "json") == '{"a": {"b": [1, 2]}}'
    assert extract('{"a": 1} and then\n```json\n{"a": 2}\n```', "json") == '{"a": 2}'
    assert extract("no json {here", "json") is None


def test_code_is_the_last_block_that_is_no_output() -> None:
    text = "First\n```python\nx = 1\n```\nthen\n```python\nx = 2\n```\n```output\n2\n```\n"
    assert extract(text, "code") == "x = 2"
    assert extract("```\ndef f():\n    return '```'\n```", "code") == "def f():\n    return '```'"
    assert extract("def f():\n    return 1\n", "code") == "def f():\n    return 1"
    assert extract("```python\nx = 3", "code") == "x = 3"
    assert extract("", "code") is None


def test_text_is_itself() -> None:
    assert extract("  a poem\n", "text") == "a poem"
    assert extract(" ", "text") is None


@pytest.mark.parametrize("kind", KINDS)
def test_a_cut_text_states_nothing(kind: str) -> None:
    for text in (r"\boxed{5}", "#### 5", "The answer is 5", "(B)", '{"a": 1}', "```\nx\n```"):
        assert extract(text, kind, complete=False) is None
        assert extract(text, kind, complete=False, guess=True) is None


def test_guessing_is_off_by_default_and_never_takes_a_denied_number() -> None:
    text = "We add 3 and 4, so there are 7 birds."
    assert extract(text, "number") is None
    assert extract(text, "number", guess=True) == "7"
    assert extract("There are 7 birds, not 5.", "number", guess=True) == "7"
    assert extract("It is not 5", "number", guess=True) is None
    assert extract("Thus $x \\geq 5$ solves it.", "math", guess=True) == "x \\geq 5"


@pytest.mark.parametrize(
    "text",
    ["answer is " * 20_000, "\\boxed{" * 30_000, "#### " * 30_000, "{" * 200_000, "[{" * 50_000, "$" * 100_000,
     "(A)" * 60_000, "not " * 50_000, "1," * 100_000, "```\n" * 50_000, "\\frac{1}{" * 20_000, " " * 200_000,
     "answer" * 30_000, "answer is not " * 10_000, "\\(" * 60_000, "1 / " * 50_000, "x" * 3_000_000, "answer\n\n" * 20_000],
)  # fmt: skip
def test_hostile_texts_take_bounded_time(text: str) -> None:
    for kind in KINDS:
        began = time.perf_counter()
        extract(text, kind, guess=True)
        assert time.perf_counter() - began < 2.0, kind


@given(st.text(max_size=200))
def test_no_text_breaks_it(text: str) -> None:
    for kind in KINDS:
        found = extract(text, kind, guess=True)
        assert found is None or found

"""Canonical forms: what is equal, what is not, what abstains, and that all of it is bounded."""

from __future__ import annotations

import itertools
import time
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogitate.rules.canonical import canonical, classes, matches, read, undecided
from cogitate.rules.canonical_numbers import Undecided, value_of

EQUAL = [
    ("0.5", "1/2", r"\frac{1}{2}", r"\frac12", r"\dfrac12", ".5", "0.50", r"50\%", "50%", "50 percent", "½", "$0.5$"),
    ("1024", "1,024", "1{,}024", r"1\,024", "1 024", "1024.0", "2^{10}", "1.024e3", "1.024 \\times 10^3", "x=1{,}024"),
    ("-1234", "-1,234", "−1234", "- 1234", r"\boxed{-1234}"),
    ("3/2", "1.5", r"1\frac{1}{2}", "1 1/2", r"\left(\frac{3}{2}\right)"),
    ("{1,2}", "{2,1}", r"\{1, 2\}", "1, 2", "2 and 1", "1 or 2", r"2 \text{ and } 1", "x=1 or x=2", r"\{1,1,2\}"),
    ("(3,4)", "(3, 4)", r"\left(3, 4\right)", "(3;4)", "(6/2, 4.0)", "(p,q)=(3,4)"),
    ("[0,1)", r"\left[0,1\right)", r"x \in [0,1)", r"0 \le x < 1", "0 <= x < 1", r"1 > x \geq 0"),
    (r"(5,\infty)", "x>5", "5<x", r"x \in (5, \infty)"),
    ("A", "(A)", r"\text{(A)}", r"\textbf{A}", "$A$", r"\boxed{\text{A}}"),
    ("odd", "Odd", r"\text{odd}", r"$\text{odd}$", "odd."),
    ("10^{100000000}", "1e100000000", "100^{50000000}", r"10 \times 10^{99999999}"),
    ("July 4, 1776", "4 July 1776", "Jul 4, 1776", "1776-07-04", "July 4th, 1776"),
    ("1:30 PM", "13:30", "1:30pm", "1:30 p.m."),
    ("5 cm", r"5\text{ cm}", "5 centimeters", r"5~\mathrm{cm}", "5.0 cm", "5cm"),
    (r"15\mbox{ cm}^2", "15 cm^2", "15 square centimeters", "15 cm²"),
    (r"90^\circ", "90°", "90 degrees", r"90^{\circ}"),
    ("yes", "Yes.", "True", r"\text{yes}"),
    ("x=1, y=2", "y=2, x=1", "x=1 and y=2"),
    ("3000000", "3 million", "3,000,000"),
    ("42", "**42**", "42.", "`42`", r"\boxed{\boxed{42}}", r"\$42", "42 dollars"),
    ("[-2,7]", r"-2 \\le x \\le 7", r"-2 \leq x \leq 7"),
]  # fmt: skip

TRAPS = [
    "x + 1 2",
    "x + 12",
    "0.333", "1/3", "0.3333333333333333", "(0,1)", "[0,1]", "(0,1]", "[0,1)", "{0,1}", "01:00",
    "(3,4)", "(4,3)", "34", "3.4", "3/4", "{3,4}", "[3,4]", "(1,024)", "1,024", "(1,24)", "1.024", "(1,234)", "1234",
    "50", "50%", "0.50%", "5 cm", "5 km", "5", "5 m^2", "5 cm^2", "5%", "5°",
    "x=1, y=2", "x=2, y=1", "1, 1, 2", "1,2", "(1,2)", "1 1/2", "11/2", "1/12",
    "10^{100000000}", "10^{100000001}", "-10^{100000000}", "2^{100000000}", "10^{-100000000}", "10^{10^{10^{10}}}",
    "A", "B", "a", "12:30", "12:30 PM", "12:30 AM", "12.30", "1230", "12/30", "12:03",
    r"\sqrt{2}", "2", r"\sqrt{3}", r"2\sqrt{3}", "x", "x^2", "X", "x+1", "x-1", r"\pi", "3.14", "22/7", "3.14159265358979",
    "odd", "even", "not odd", "no", "yes", r"\{\{1,2\},\{3\}\}", r"\{1,2,3\}", r"\{\{1\},\{2,3\}\}",
    "July 4, 1776", "July 5, 1776", "4/7/1776", "7/4/1776", "July 4", r"\infty", r"-\infty", "204_5", "204", "54",
    "x>5", "x<5", r"x \geq 5", r"(-\infty,2)\cup(2,\infty)", r"(-\infty,2]\cup(2,\infty)", r"1\leq|z|\leq 3",
    r"\emptyset", "0", "-0.1", "€7", "£7", "7", "7 hours", "7 minutes", "$f(x)$", "$f(y)$", r"\pm 9", "9", "-9",
    "100,200", "(100,200)", "100200000", "1/3%", "17 apples", "17 pears", "17",
]  # fmt: skip


@pytest.mark.parametrize("group", EQUAL, ids=lambda g: g[0])
def test_spellings_of_one_answer_are_equal(group: tuple[str, ...]) -> None:
    assert {canonical(answer) for answer in group} == {canonical(group[0])}
    assert canonical(group[0]) is not None


def test_no_two_traps_are_merged() -> None:
    allowed = {("50%", "1/2")}
    for one, other in itertools.combinations(TRAPS, 2):
        if (one, other) not in allowed:
            assert canonical(one) != canonical(other), (one, other)
            assert canonical(one) is not None


def test_different_groups_are_not_merged() -> None:
    forms = [canonical(group[0]) for group in EQUAL]
    assert len(set(forms)) == len(forms)


@pytest.mark.parametrize(
    "answer",
    ["", " ", "?", "???", "$", "$$", "()", "{", r"\frac{1}{", r"\frac{1}", "x+", "= 5 +", "((((", "}" * 50, "{" * 5000,
     "...", "\x00", r"\boxed{", "1" * 5000, "(1,", "x^", r"\sqrt", "((" * 40 + "1" + "))" * 40],
)  # fmt: skip
def test_what_cannot_be_read_abstains(answer: str) -> None:
    assert canonical(answer) is None
    assert canonical(answer, "number") is None


@pytest.mark.parametrize(
    "answer",
    ["10^{100000000}", "9**9**9**9", "9^{9^{9^{9}}}", "1e999999999", "(" * 2000 + "1" + ")" * 2000, "1," * 1900,
     "a " * 1900, "1 " * 1900, "\\frac" * 700, "9!" * 900, "2^" * 1000 + "2", "-" * 3900 + "1", "x=" * 1900 + "1",
     r"\text{" * 600 + "}" * 600, "1 and " * 600 + "1", "{,}" * 1200, r"\pm" * 1300, "1/" * 1900 + "1",
     "(2^{9999})^{9999}", "0.1e-99999999", "1" * 3999, r"\cup" * 900, "(" * 10 + "1,2" + ")" * 10, "5 " + "m" * 3000,
     "10^{" + "9" * 60 + "}", "*".join(["99999999999"] * 300), "[0,1)" * 700, "answer " * 500],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["math", "number", "choice", "text", "json"])
def test_hostile_answers_take_bounded_time(answer: str, kind: str) -> None:
    began = time.perf_counter()
    read.cache_clear()
    form = canonical(answer, kind)
    assert time.perf_counter() - began < 1.0
    assert form is None or len(form) < 30_000


@given(st.fractions(max_denominator=10**6))
def test_every_fraction_is_read_exactly(value: Fraction) -> None:
    plain = f"{value.numerator}/{value.denominator}"
    sign = "-" if value < 0 else ""
    tex = rf"{sign}\frac{{{abs(value.numerator)}}}{{{value.denominator}}}"
    assert canonical(plain) == canonical(tex) == canonical(plain, "number")
    assert value_of(plain) == value


@given(st.integers(-(10**12), 10**12))
def test_thousands_separators_change_nothing(value: int) -> None:
    assert canonical(f"{value:,}") == canonical(str(value)) == str(value)
    assert canonical(f"{value:,}".replace(",", "{,}")) == str(value)


@given(st.fractions(max_denominator=999), st.fractions(max_denominator=999))
def test_numbers_are_equal_exactly_where_their_values_are(one: Fraction, other: Fraction) -> None:
    assert (canonical(str(one)) == canonical(str(other))) == (one == other)


@given(st.lists(st.integers(-99, 99), min_size=2, max_size=6, unique=True), st.randoms())
def test_sets_ignore_order_and_tuples_do_not(members: list[int], random: object) -> None:
    mixed = list(members)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    joined, other = (", ".join(map(str, m)) for m in (members, mixed))
    assert canonical(rf"\{{{joined}\}}") == canonical(rf"\{{{other}\}}") == canonical(joined)
    assert (canonical(f"({joined})") == canonical(f"({other})")) == (members == mixed)


@given(st.text(max_size=60) | st.text(alphabet="0123456789.,(){}[]\\ xfrac^/%$=<>", max_size=40))
def test_no_text_breaks_it(text: str) -> None:
    for kind in ("math", "number", "choice", "text", "json", "code"):
        form = canonical(text, kind)
        assert form is None or form
        assert canonical(text, kind) == form


@given(
    st.lists(st.sampled_from([*TRAPS, *(a for g in EQUAL for a in g), None]), max_size=12),
    st.randoms(),
)
def test_classes_do_not_depend_on_the_order_of_the_vote(
    answers: list[str | None], random: object
) -> None:
    found = classes(answers, [canonical(a) for a in answers])
    order = list(range(len(answers)))
    random.shuffle(order)  # type: ignore[attr-defined]
    mixed = [answers[i] for i in order]
    again = classes(mixed, [canonical(a) for a in mixed])
    by_text = {a: answers[c] for a, c in zip(answers, found, strict=True) if c is not None}
    assert by_text == {a: mixed[c] for a, c in zip(mixed, again, strict=True) if c is not None}
    for label in found:
        assert label is None or found[label] == label


def test_a_number_needs_a_number() -> None:
    assert canonical("1000,99", "number") == canonical("1000.99", "number") == "100099/100"
    assert canonical("1.234,5", "number") == "2469/2"
    assert canonical("0,111", "number") == "111/1000"
    for answer in ("x", "odd", "(1,2)", "1, 2", r"\sqrt{2}", "x>5", "12:30", "A"):
        assert canonical(answer, "number") is None


@pytest.mark.parametrize(
    ("answer", "form"),
    [("B", "B"), ("(b)", "B"), (r"\text{(B)}", "B"), ("B.", "B"), ("B) Paris", "B"), ("**B**", "B"), ("Option B", "B"),
     ("Paris", '"paris"'), ("a dog", '"a dog"'), ("Yes", '"yes"'), ("", None)],
)  # fmt: skip
def test_choices(answer: str, form: str | None) -> None:
    assert canonical(answer, "choice") == form


def test_text_json_and_code() -> None:
    assert canonical("  Hello,\n World. ", "text") == canonical("hello, world", "text")
    assert canonical("hello world", "text") != canonical("hello, world", "text")
    assert canonical('{"a": 1.0, "b": [1, 2]}', "json") == canonical('{"b":[1,2],"a":1}', "json")
    assert canonical("[1, 2]", "json") != canonical("[2, 1]", "json")
    assert (
        canonical('{"a": true}', "json")
        != canonical('{"a": 1}', "json")
        != canonical('{"a": "1"}', "json")
    )
    for bad in ("{", "{'a': 1}", '{"a": NaN}', '{"a": 1, "a": 2}', "[" * 100_000, "1e999999999"):
        assert canonical(bad, "json") is None
    assert canonical("  def f():\n      return 1  \n", "code") == canonical(
        "def f():\n    return 1", "code"
    )
    assert canonical("x = 1", "code") != canonical("x = 2", "code")


def test_against_a_reference_a_unit_may_be_left_out_but_never_changed() -> None:
    assert matches("5", "5 cm")
    assert matches("5 cm", "5")
    assert not matches("5 cm", "5 km")
    assert matches("28", r"28\%")
    assert matches("0.28", r"28\%")
    assert not matches("28", "0.28")
    assert not matches("28%", "28")
    assert matches("4, 5", "AB=4,CD=5")
    assert not matches("CD=4,AB=5", "AB=4,CD=5")
    assert matches(None, "5") is None
    assert matches("?", "5") is None
    assert not matches("5", "?")


def test_open_expressions_are_named_and_stand_alone_until_resolved() -> None:
    assert undecided(r"(\sqrt{2}, 3)") == (r"\sqrt{2}",)
    assert undecided("3") == undecided(None) == undecided(r"\sqrt{2}", "text") == ()
    assert canonical(r"\sqrt{4}") == r"tex:\sqrt{4}"
    assert canonical(r"(\sqrt{4}, 3)", resolved={r"\sqrt{4}": "2"}) == canonical("(2,3)")
    assert canonical(r"\sqrt{4}", resolved={r"\sqrt{4}": None}) == r"tex:\sqrt{4}"


def test_huge_numbers_are_not_evaluated() -> None:
    with pytest.raises(Undecided):
        value_of("10^{100000000}")
    assert canonical(r"3 \times 10^{100000000}") == "10^100000000*3"

from __future__ import annotations

from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cogitate.assembly import factory
from cogitate.assembly.factory import A_SCORER, A_STRATEGY, Assembled
from cogitate.assembly.spec import MAX_DEPTH, MAX_LENGTH, SpecError, read
from cogitate.core.errors import InvalidInput


@factory.scorer
def reward(kind: str, aggregate: Literal["min", "last"] = "last") -> Any:
    """A reward."""
    return ("reward", kind, aggregate)


@factory.strategy
def best(
    kind: str,
    n: int = 8,
    scorer: A_SCORER | None = None,
    words: tuple[str, ...] = (),
    heat: float = 1.0,
    loud: bool = False,
    name: str | None = None,
) -> Any:
    """The best of several."""
    if n < 1:
        raise ValueError("n must be at least 1")
    return ("best", kind, n, scorer, words, heat, loud, name)


@factory.strategy
def vote(kind: str, strategy: A_STRATEGY, n: int = 3) -> Any:
    """A vote."""
    return ("vote", strategy, n)


TABLE = {made.name: made for made in (reward, best, vote)}


def told(text: str) -> str:
    with pytest.raises(SpecError) as caught:
        read(text, table=TABLE)
    return str(caught.value)


rewards = st.builds(reward, st.sampled_from(["min", "last"]))
bests = st.builds(
    best,
    n=st.integers(1, 2**53),
    scorer=st.none() | rewards,
    words=st.lists(st.text(max_size=8), max_size=3),
    heat=st.floats(allow_nan=False, allow_infinity=False, width=32),
    loud=st.booleans(),
    name=st.none() | st.text(st.characters(), max_size=20),
)
specs = st.recursive(
    bests, lambda inner: st.builds(vote, inner, n=st.integers(-5, 5)), max_leaves=6
)


@given(specs)
@settings(max_examples=150, deadline=None)
def test_what_is_printed_reads_back_as_itself(chosen: Assembled) -> None:
    again = read(str(chosen), table=TABLE)
    assert again == chosen
    assert str(again) == str(chosen)
    assert hash(again) == hash(chosen)
    assert again.for_kind("math") == chosen.for_kind("math")


def test_defaults_are_left_out_and_order_is_the_factorys() -> None:
    assert str(read("best( heat=2, n=8,scorer=reward(aggregate='last') )", table=TABLE)) == (
        "best(scorer=reward(), heat=2.0)"
    )
    assert str(read("vote(best, n=5)", table=TABLE)) == "vote(best(), n=5)"
    assert read("best(n=8)", table=TABLE) == best()


def test_arguments_reach_the_factory() -> None:
    chosen = read('best(n=2, scorer=reward("min"), words=["a\\n"], heat=-1, name="x")', table=TABLE)
    inner = ("reward", "json", "min")
    assert chosen.for_kind("json") == ("best", "json", 2, inner, ("a\n",), -1.0, False, "x")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("bost(n=3)", "at character 1 of the spec: there is no 'bost'; did you mean best?"),
        ("best(word=[])", "best has no argument 'word'; did you mean words?"),
        ("vote(best(n=4), n=2, k=1)", "at character 22 of the spec: vote has no argument 'k'"),
        (
            'best(name="é", heaty=2)',
            "at character 16 of the spec: best has no argument 'heaty'; did you mean heat?",
        ),
        ("best(n='a')", 'n of best must be a whole number, not "a"'),
        ("best(n=True)", "n of best must be a whole number, not True"),
        ("best(n=0)", "n must be at least 1"),
        ("best(n=1, n=2)", "given twice"),
        ("best(1, n=2)", "given twice"),
        ("best(1,2,3,4,5,6,7,8)", "got 8 arguments; it takes 6"),
        ("best(scorer=best)", "scorer of best must be a scorer or None, not the strategy best()"),
        ("reward()", "reward is a scorer; a strategy is wanted, such as best()"),
        ("vote()", "needs its argument strategy"),
        ("vote", "needs its argument strategy"),
        ("reward('max')", 'must be "min" or "last", not "max"'),
        ("best(n=1e999)", "too large"),
        (f"best(n={'9' * 400})", "too large"),
        ("best(heat=1j)", "may stand here"),
        ("best(n=4", "was never closed"),
        ("best(name='\\d')", "invalid escape"),
        ("", "is empty; write one such as best()"),
        ("  \n ", "is empty"),
        ("7", "is a call such as"),
        ("best(**{})", "** cannot be used here"),
        ("best(*[1])", "may stand here"),
    ],
)
def test_a_mistake_is_told_in_one_sentence(text: str, said: str) -> None:
    message = told(text)
    assert said in message
    assert "\n" not in message


HOSTILE = [
    "__import__('os').system('true')",
    "__import__('os')",
    "best.__class__",
    "best().factory",
    "(lambda: best())()",
    "[best() for _ in '12']",
    "best(n=(1 if True else 2))",
    "best(n=2**99999999)",
    "best(n=1+1)",
    "best(name=f'{1}')",
    "best(name=b'x')",
    "best(name=...)",
    "best(n:=3)",
    "best() or vote",
    "best(name={'a': 1})",
    "best(name={1})",
    "best; import os",
    "import os",
    "await best()",
    "yield",
    "(" * 2000,
    "-" * 4000 + "1",
    "vote(" * 200 + "best" + ")" * 200,
    "best(words=" + "[" * 90 + "]" * 90 + ")",
    "best(name='" + "a" * MAX_LENGTH + "')",
    "a\x00b",
    "\ud800",
    "best(name='\\N{bogus}')",
    "best(\r\rnn=3)",
    "best\u200b()",
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_is_refused(text: str) -> None:
    assert "\n" not in told(text)


def test_nesting_is_bounded_where_it_says() -> None:
    fits = "vote(" * (MAX_DEPTH - 1) + "best()" + ")" * (MAX_DEPTH - 1)
    assert str(read(fits, table=TABLE)) == fits
    assert f"deeper than {MAX_DEPTH}" in told(f"vote({fits})")


@given(st.text(st.sampled_from("best(vorewad)=,'\"\\ n1.[]{}-+*:;#@\n\r\x00é"), max_size=60))
@settings(max_examples=500, deadline=None)
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        said = str(read(text, table=TABLE))
    except SpecError as error:
        said = str(error)
    else:
        assert str(read(said, table=TABLE)) == said
    assert "\n" not in said


def test_python_callers_get_the_same_checks() -> None:
    with pytest.raises(InvalidInput, match="did you mean heat"):
        best(heet=3)  # pyright: ignore[reportCallIssue]
    with pytest.raises(InvalidInput, match="must be a scorer"):
        best(scorer="reward()")
    own = object()
    assert best(scorer=own).for_kind("text")[3] is own


def test_help_texts_come_from_the_factory() -> None:
    assert best.summary == "The best of several."
    assert reward.signature == 'reward(aggregate="last")'
    assert vote.signature == "vote(strategy, n=3)"

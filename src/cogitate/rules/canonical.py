"""One spelling per answer: equality of answers is equality of canonical forms.

So it is transitive, does not depend on the order of a vote, and is exact: 0.333 is not 1/3. What
cannot be read has no form (`None`) and abstains. Everything is bounded in time and size.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import lru_cache

from .canonical_forms import UNRESOLVED, Form, Group, Known, leaves, readings, spell
from .canonical_math import read_math
from .canonical_numbers import spelled
from .canonical_words import choice, code_form, json_form, phrase

_DECIMAL_COMMA = re.compile(
    r"(?P<sign>[-+]?)(?:(?P<zero>0),(?P<rest>\d+)|(?P<whole>\d{1,3}(?:[. ]\d{3})+|\d+),(?P<part>\d{1,2}|\d{4,}))"
)
_PERCENT = re.compile(
    r"^\W*(?P<number>[^%]*?\d[^%]*?)[\s\\$}\x01]*(?:%|percent|pct)", re.IGNORECASE
)


@lru_cache(maxsize=16_384)
def read(answer: str, kind: str = "math") -> Form | None:
    r"""The form of an answer of kind `math` or `number`, or of any other kind as a known text.

    >>> read(r"\{2, 1\}") == read("1, 2")
    False
    >>> canonical(r"\{2, 1\}"), canonical("1, 2")
    ('{1,2}', '{1,2}')
    """
    if kind == "math":
        return read_math(answer)
    if kind == "number":
        return _read_number(answer)
    rules = {"choice": choice, "text": phrase, "json": json_form, "code": code_form}
    text = rules[kind](answer)
    return None if text is None else Known(text, "symbol")


def _read_number(answer: str) -> Form | None:
    match = _DECIMAL_COMMA.fullmatch(answer.strip().strip("$€£ "))
    if match:
        whole = re.sub("[. ]", "", match["whole"] or match["zero"])
        return Known(
            spelled(Fraction(f"{match['sign']}{whole}.{match['part'] or match['rest']}")), "number"
        )
    form = read_math(answer)
    inner = form.parts[0] if isinstance(form, Group) and form.shape == "quantity" else form
    return form if isinstance(inner, Known) and inner.sort in ("number", "huge") else None


def canonical(
    answer: str | None, kind: str = "math", resolved: Mapping[str, str | None] = UNRESOLVED
) -> str | None:
    """The canonical form of an answer, or `None` where it abstains.

    >>> canonical("1{,}024"), canonical("0.50", "number"), canonical("(3,4)"), canonical("???")
    ('1024', '1/2', '(3,4)', None)

    Args:
        answer: the extracted answer; `None` stays `None`.
        kind: one of `math`, `number`, `choice`, `text`, `json`, `code`.
        resolved: forms of the expressions of `undecided`, by expression.
    """
    form = None if answer is None else read(answer, kind)
    return None if form is None else spell(form, resolved)


def undecided(answer: str | None, kind: str = "math") -> tuple[str, ...]:
    r"""The expressions in an answer that only a symbolic engine can decide.

    >>> undecided(r"(\sqrt{2}, 3)")
    ('\\sqrt{2}',)
    """
    form = None if answer is None or kind != "math" else read(answer, kind)
    return () if form is None else leaves(form)


def matches(
    answer: str | None,
    reference: str,
    kind: str = "math",
    resolved: Mapping[str, str | None] = UNRESOLVED,
) -> bool | None:
    r"""Whether an answer equals a reference; `None` where the answer abstains.

    Equal forms match. Against a reference, one side may leave out a unit that the other states, names
    of values, or the percent sign that the reference has. Two different units never match, and two
    answers of one form are always judged alike.

    >>> matches("28", r"28\%"), matches("28", "0.28"), matches("5 cm", "5 km")
    (True, False, False)
    """
    form = None if answer is None else read(answer, kind)
    if form is None:
        return None
    wanted = read(reference, kind)
    if wanted is None:
        return False
    mine, theirs = spell(form, resolved), spell(wanted, resolved)
    loose = readings(wanted, resolved) | _percent(reference, kind)
    return mine == theirs or mine in loose or theirs in readings(form, resolved)


def _percent(reference: str, kind: str) -> frozenset[str]:
    match = _PERCENT.match(reference) if kind in ("math", "number") else None
    bare = canonical(match["number"], kind) if match else None
    return frozenset() if bare is None else frozenset({bare})


def classes(answers: Sequence[str | None], forms: Sequence[str | None]) -> tuple[int | None, ...]:
    """The class of each answer: the index of the class's first member in the order of their texts.

    >>> classes(["1/2", "3", "0.5"], ["1/2", "3", "1/2"])
    (2, 1, 2)
    """
    first: dict[str, int] = {}
    for i, (answer, form) in enumerate(zip(answers, forms, strict=True)):
        if form is not None and (
            form not in first or (answer or "") < (answers[first[form]] or "")
        ):
            first[form] = i
    return tuple(None if form is None else first[form] for form in forms)

"""Words, choices, dates, JSON and code as one spelling each."""

from __future__ import annotations

import json
import re
import textwrap
import unicodedata
from typing import Any, Final, cast

from .canonical_forms import Known
from .canonical_numbers import Undecided, quick, spelled, value_of
from .canonical_tex import cleaned

_MARK = "\x01"
LONGEST_TEXT = 200_000
"""Texts, JSON and code of more characters abstain."""
_YES: Final = {"yes": "yes", "true": "yes", "no": "no", "false": "no"}
_CHOICE = re.compile(r"[(\[]\s*([A-Za-z])\s*[)\]]")
_BARE = re.compile(
    r"(?:(?:option|choice|answer)\s*)?[(\[]?([A-Za-z])[)\]]?[.:]?", flags=re.IGNORECASE
)
_LEADING = re.compile(r"(?:[(\[]([A-Za-z])[)\]]|([A-Za-z])[.):])\s+\S.*", flags=re.DOTALL)
_MONTHS = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
]
_MONTH = "|".join(f"{m[:3]}(?:{m[3:]})?" if len(m) > 3 else m for m in _MONTHS)
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_DATES = tuple(
    re.compile(pattern, flags=re.IGNORECASE)
    for pattern in (
        rf"(?P<month>{_MONTH})\.? {_DAY},? (?P<year>\d{{4}})",
        rf"{_DAY} (?:of )?(?P<month>{_MONTH})\.?,? (?P<year>\d{{4}})",
        r"(?P<year>\d{4})-(?P<number>\d{2})-(?P<day>\d{2})",
        rf"(?P<month>{_MONTH})\.? {_DAY}",
        rf"{_DAY} (?:of )?(?P<month>{_MONTH})\.?",
    )
)


def date(text: str) -> str | None:
    """The form of a date written with the month's name or as year-month-day.

    >>> date("July 4, 1776"), date("4 Jul 1776"), date("4/7/1776")
    ('1776-07-04', '1776-07-04', None)
    """
    text = re.sub(r" {2,}", " ", text.replace(_MARK, "").strip())
    if len(text) > 40:
        return None
    for pattern in _DATES:
        match = pattern.fullmatch(text)
        if match:
            found = match.groupdict()
            name = (found.get("month") or "").lower()[:3]
            month = int(found.get("number") or [m[:3] for m in _MONTHS].index(name) + 1)
            day = int(found["day"])
            if not (1 <= month <= 12 and 1 <= day <= 31):
                return None
            return f"{found.get('year') or '-'}-{month:02}-{day:02}"
    return None


def words(text: str) -> Known | None:
    """The form of an answer in words, a letter or a choice; `None` where it is an expression.

    >>> words("Odd"), words("(A)")
    (Known(text='odd', sort='text'), Known(text='A', sort='symbol'))
    """
    bare = re.sub(r"\s+", " ", text.replace(_MARK, " ")).strip(' ."*')
    match = _CHOICE.fullmatch(bare)
    if match:
        letter = match[1]
        return Known(letter, "symbol")
    if len(bare) == 1 and bare.isalpha():
        return Known(bare, "symbol")
    bare = bare.strip(" .!'")
    if "\\" in bare or not bare or not re.search(r"[^\W\d_]{2}", bare):
        return None
    lowered = bare.casefold()
    if lowered in _YES:
        return Known(_YES[lowered])
    if re.fullmatch(r"[^\W\d_]+(?:[ '’,-]+[^\W\d_]+)*", bare):
        if "," in bare or re.search(r"\b(?:and|or)\b", lowered):
            long = [w for w in re.split(r"\W+", bare) if len(w) > 3]
            return Known(lowered) if len(long) > 2 else None
        if len(bare) > 2 or _MARK in text:
            return Known(lowered)
        return None
    prose = re.findall(r"(?<![^\W_])[^\W\d_]{3,}(?![^\W_])", bare)
    if len(prose) >= 3 and not re.search(r"[=^<>]", bare) and not bare[0].isdigit():
        return Known(lowered)
    return None


def choice(answer: str) -> str | None:
    r"""The letter of a choice, else its words.

    >>> choice(r"\text{(A)}"), choice("b) Paris"), choice("Paris")
    ('A', 'B', '"paris"')
    """
    text = (cleaned(answer) or "").replace(_MARK, " ").strip(" .*_`\"'")
    match = _BARE.fullmatch(text) or _LEADING.fullmatch(text)
    if match:
        return next(group for group in match.groups() if group).upper()
    said = phrase(text)
    return said and f'"{said}"'


def phrase(answer: str) -> str | None:
    """Text without case, spacing, quotes and closing punctuation; `None` where nothing is left."""
    if len(answer) > LONGEST_TEXT:
        return None
    text = " ".join(unicodedata.normalize("NFKC", answer).casefold().split())
    text = text.strip(" *_`\"'“”‘’").rstrip(".!").strip(" *_`\"'“”‘’")
    return _YES.get(text, text) or None


def json_form(answer: str) -> str | None:
    """JSON with sorted keys and exact numbers; `None` where it is not JSON.

    >>> json_form('{"b": 1.0, "a": [true]}')
    '{"a":[true],"b":1}'
    """
    if len(answer) > LONGEST_TEXT:
        return None
    try:
        raw = json.loads(
            answer, parse_float=_exact, parse_int=_exact, parse_constant=_refused,
            object_pairs_hook=_unique,
        )  # fmt: skip
        return _written(raw)
    except (ValueError, RecursionError, Undecided):
        return None


class _Number(str):
    """The spelling of a JSON number."""

    __slots__ = ()


def _exact(text: str) -> _Number:
    known = quick(text)
    return _Number(known if known is not None else spelled(value_of(text)))


def _refused(text: str) -> Any:
    raise ValueError(text)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a key twice")
    return dict(pairs)


def _written(raw: object) -> str:
    if isinstance(raw, dict):
        members = sorted(cast(dict[str, Any], raw).items())
        return "{" + ",".join(f"{json.dumps(k)}:{_written(v)}" for k, v in members) + "}"
    if isinstance(raw, list):
        return "[" + ",".join(_written(v) for v in cast(list[Any], raw)) + "]"
    if isinstance(raw, _Number):
        return str(raw)
    return json.dumps(raw)


def code_form(answer: str) -> str | None:
    """Code without surrounding blank lines, common indentation and trailing spaces."""
    if len(answer) > LONGEST_TEXT:
        return None
    lines = [line.rstrip() for line in answer.expandtabs(4).splitlines()]
    text = textwrap.dedent("\n".join(lines)).strip("\n")
    return text or None

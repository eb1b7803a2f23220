"""Reads a mathematical answer into a form: numbers, tuples, sets, intervals, units, dates, words."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fractions import Fraction

from .canonical_forms import Form, Group, Known, Leaf, spell, unit_of
from .canonical_numbers import Huge, Undecided, clock, huge, quick, spelled, value_of
from .canonical_tex import balanced, cleaned, closing, enclosed, plain, split_top
from .canonical_words import date, words

_MARK = "\x01"
_LONGEST_LEAF = 800
_APPROX = re.compile(r"\\(?:approx|simeq|doteq)(?![A-Za-z])")
_MEMBER = re.compile(r"^[A-Za-z](?:_\{?\w{1,4}\}?)?(?:\([A-Za-z]\))? ?\\in(?![A-Za-z]) ?")
_RELATION = re.compile(r"\\leq(?![A-Za-z])|\\geq(?![A-Za-z])|<|>")
_UNION = re.compile(r"\\cup(?![A-Za-z])")
_PLUS_MINUS = re.compile(r"\\(?:pm|mp)(?![A-Za-z])")
_AND = re.compile(r"(?:,? ?\x01 ?,?|,? |(?<=[\d)}])|, ?)(?:and|or)(?: ?\x01|(?= )|(?=[\d(\\-])) ?")
_NAME = r"[A-Za-z]+(?:_ ?(?:\{[\w, ]{1,12}\}|\w))?'{0,3}"
_VARIABLE = re.compile(rf"(?:\\[A-Za-z]+|{_NAME})(?: ?\( ?[A-Za-z](?:, ?[A-Za-z])* ?\))?")
_LABEL = re.compile(
    rf"(?:{_NAME}|\\(?!pi\b|frac\b|sqrt\b)[A-Za-z]+(?: ?[A-Z]{{1,4}})?)"
    rf"(?: ?\( ?-?\w{{1,6}}(?:, ?\w{{1,6}})* ?\))?(?: ?[:/] ?{_NAME})?"
    rf"|\| ?{_NAME} ?\||\\frac ?\{{ ?{_NAME} ?\}} ?\{{ ?{_NAME} ?\}}"
    rf"|\( ?{_NAME}(?: ?[,;] ?{_NAME})+ ?\)"
)
_CONSTANTS = re.compile(r"\\(?:frac|sqrt|pi|infty|cdot|times|log|ln|sin|cos|tan|exp)(?![A-Za-z])")
_GROUPED = re.compile(r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?![\d,])(?:\.\d+)?")
_AMBIGUOUS = re.compile(r"[([]\d{1,3}(?:,\d{3})*,0\d\d[)\]]")
_SLASHES = re.compile(r"\d{1,4}[/.-]\d{1,2}[/.-]\d{2,4}")
_BASE = re.compile(r"([0-9A-Fa-f]+) ?_ ?\{? ?(\d{1,2}) ?\}?")
_QUANTITY = re.compile(
    r"(?P<value>[^\x01]*?[\d)}%])(?P<gap>[ \x01]*)(?P<unit>[A-Za-z°€£¥¢][A-Za-z°€ \x01./^{}\d]*)"
)
_INFINITY = {
    "\\infty": "oo",
    "+\\infty": "oo",
    "-\\infty": "-oo",
    "infinity": "oo",
    "-infinity": "-oo",
}
_CURRENCIES = {"€": "eur", "£": "gbp", "¥": "jpy"}
_EMPTY = {"\\emptyset", "\\varnothing", "\\{\\}", "\\{ \\}", "{}", "∅"}
_DROPPED = re.compile(
    r"'|\\prime|\d ?_|\\phantom|\^ ?\{? ?(?:T|\\top|\\intercal)(?![A-Za-z])|\\gcd|\\lcm"
    r"|\\frac ?\{ ?(?:d(?![A-Za-z]{2})|\\partial|\\mathrm)|(?<![A-Za-z\\])[fghFGH] ?\^"
)
"""What Math-Verify drops or misreads: primes, bases, transposes, gcds, derivatives, inverse functions."""
_ENVIRONMENT = re.compile(r"\\(?:begin|end|operatorname)\{[A-Za-z]+\}")
_PROSE = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{4,}")
"""Words, which a symbolic engine would drop or read as products."""
_DANGLING = re.compile(r"[-+*/^_=<,(\[{&]$|^[*/^_=,)\]}]|\\(?:frac|sqrt|times|cdot|div|leq|geq)$")


def read_math(answer: str) -> Form | None:
    """The form of a mathematical answer; `None` where it cannot be read."""
    known = quick(answer.strip())
    if known is not None:
        return Known(known, "number")
    text = cleaned(answer)
    if text is None:
        return None
    text = text.replace("\\$", "").replace("$", "").strip()
    text = text.replace("<=", "\\leq ").replace(">=", "\\geq ").replace("!=", "\\neq ")
    if text in _EMPTY:
        return Known("{}", "bound")
    if not re.search(r"[^\W_]|∅|∞", text) or not balanced(text):
        return None
    return _whole(text)


def _whole(text: str) -> Form | None:
    """A number, a list of statements, or one statement."""
    special = _special(text)
    if special is not None:
        return special
    said = words(text)
    if said is not None:
        return said
    items = _items(text)
    if len(items) > 1:
        return _listed(items)
    statement = _statement(items[0])
    return statement[1] if statement else None


def _special(text: str) -> Form | None:
    """What must be recognised before commas, slashes and colons are read."""
    if _GROUPED.fullmatch(text):
        return Known(spelled(Fraction(text.replace(",", ""))), "number")
    found = date(text) or ""
    if found:
        return Known(found, "date")
    time = clock(text.replace(_MARK, " ").strip())
    if time is not None:
        return Known(time, "clock")
    if _SLASHES.fullmatch(text) or _AMBIGUOUS.fullmatch(text):
        return Known(f"literal:{text}", "symbol")
    match = _BASE.fullmatch(text)
    if match and match[1][0].isdigit():
        return Known(f"{match[1].upper()}_{match[2]}", "symbol")
    return None


def _items(text: str) -> list[str]:
    """The statements of a bare list, however they are joined."""
    joined = _GROUPED.sub(lambda m: m.group().replace(",", ""), text)
    if ", " in text or ("," not in joined and not re.search(r"[(\[{]", text)):
        text = joined if not re.search(r"[(\[{]", text) else text
    if re.search(r"\b(?:and|or)\b|\d(?:and|or)", text) or re.search(r"[)\d](?:and|or)", text):
        text = _AND.sub(" ; ", text)
    parts = split_top(text, ";")
    if len(parts) > 1 or "," in text:
        parts = [item for part in parts for item in split_top(part, ",")]
    stripped = [part.strip(f" {_MARK}") for part in parts]
    return [part for part in stripped if part] or [text]


def _listed(items: list[str]) -> Form | None:
    """A bare list: a set of values; with different names, values by name."""
    read = [_statement(item) for item in items]
    if any(one is None for one in read):
        return None
    pairs = [one for one in read if one is not None]
    names = [name for name, _ in pairs]
    if all(names) and len(set(names)) == len(names):
        return Group("named", tuple(form for _, form in pairs), tuple(names))
    if len({name for name in names if name}) > 1:
        shown = (f"{name}={spell(form)}" for name, form in pairs)
        return Known("literal:" + ";".join(sorted(shown)), "symbol")
    return Group("list", tuple(_poured(form for _, form in pairs)))


def _poured(forms: Iterable[Form]) -> list[Form]:
    """The forms with the two values of a plus-minus in place of their group."""
    out: list[Form] = []
    for form in forms:
        out.extend(form.parts if isinstance(form, Group) and form.names == ("±",) else [form])
    return out


def _statement(text: str) -> tuple[str, Form] | None:
    """One statement as what is named and its value; the name is empty where there is none."""
    text = _MEMBER.sub("", text.strip(f" {_MARK}"))
    close = [part.strip() for part in _APPROX.split(text)]
    if len(close) > 1:
        text = close[1] if _LABEL.fullmatch(close[0]) else close[0]
    parts = [part.strip(f" {_MARK}&") for part in split_top(text, "=")]
    if len(parts) > 1:
        return _equation(parts)
    bounded = _RELATION.search(text) is not None
    form = (_interval(text) or _leaf(text)) if bounded else _value(text)
    return None if form is None else ("", form)


def _equation(parts: list[str]) -> tuple[str, Form] | None:
    label, last = parts[0], parts[-1]
    if not label or not last:
        return None
    if _LABEL.fullmatch(label) and (_constant(last) or len(plain(label)) > 1):
        value = _value(last)
        named = "" if label.startswith("(") else plain(label)
        return None if value is None else (named, value)
    if all(_constant(part) for part in parts):
        value = _value(last)
        return None if value is None else ("", value)
    form = _leaf(f"{label}={last}")
    return None if form is None else ("", form)


def _constant(text: str) -> bool:
    """Whether no variable stands in it; words are no variables."""
    bare = re.sub(r"\x01[^\x01]*\x01", "", _CONSTANTS.sub("", text))
    return "\\" not in bare.replace("\\{", "").replace("\\}", "").replace(
        "\\%", ""
    ) and not re.search(r"(?<![A-Za-z])(?!e(?![A-Za-z]))[A-Za-z]{1,2}(?![A-Za-z])", bare)


def _interval(text: str) -> Form | None:
    """`a < x <= b` as the interval of x; `None` where more than one plain variable is bounded."""
    signs = [sign.strip() for sign in _RELATION.findall(text)]
    parts = [part.strip() for part in _RELATION.split(text)]
    if len(parts) == 3 and signs[0][-1] in ">" + "q" and signs[0] in (">", "\\geq"):
        parts, signs = parts[::-1], [_turned(sign) for sign in signs[::-1]]
    if len(parts) == 2:
        if signs[0] in (">", "\\geq"):
            parts, signs = parts[::-1], [_turned(signs[0])]
        if _VARIABLE.fullmatch(parts[0]) and _constant(parts[1]) and not _constant(parts[0]):
            parts, signs = ["-\\infty", *parts], ["<", *signs]
        elif _VARIABLE.fullmatch(parts[1]) and _constant(parts[0]) and not _constant(parts[1]):
            parts, signs = [*parts, "\\infty"], [*signs, "<"]
    if len(parts) != 3 or any(sign not in ("<", "\\leq") for sign in signs):
        return None
    low, middle, high = parts
    if not (_VARIABLE.fullmatch(middle) and _constant(low) and _constant(high)) or _constant(
        middle
    ):
        return None
    ends = _value(low), _value(high)
    if ends[0] is None or ends[1] is None:
        return None
    shape = ("(" if signs[0] == "<" else "[") + (")" if signs[1] == "<" else "]")
    return Group({"()": "(", "[]": "["}.get(shape, shape), (ends[0], ends[1]))


def _turned(sign: str) -> str:
    return {">": "<", "\\geq": "\\leq", "<": ">", "\\leq": "\\geq"}[sign]


def _value(text: str) -> Form | None:
    """One value: number, quantity, bracketed group, union, word, or an undecided expression."""
    text = text.strip(f" {_MARK}")
    if text in _INFINITY:
        return Known(_INFINITY[text], "bound")
    try:
        return Known(spelled(value_of(text.replace(_MARK, " "))), "number")
    except Huge:
        form = huge(text.replace(" ", "").replace("\\times", "\\times "))
        return Known(form or f"huge:{plain(text)}", "huge")
    except (Undecided, RecursionError):
        pass
    for reader in (_special, words, _quantity, _union, _bracketed, _either):
        form = reader(text)
        if form is not None:
            return form
    return _leaf(text)


def _quantity(text: str) -> Form | None:
    """A value with a unit behind it or a currency before it."""
    if len(text) > 200:
        return None
    if text[:1] in _CURRENCIES and (amount := _value(text[1:])) is not None:
        return Group("quantity", (amount,), (_CURRENCIES[text[0]],))
    match = _QUANTITY.fullmatch(text)
    if match is None:
        return None
    gap = match["gap"]
    unit = unit_of(match["unit"], apart=bool(gap), marked=_MARK in gap)
    if unit is None:
        return None
    value = match["value"]
    try:
        number = value_of(value) * Fraction(10) ** unit.tens
    except Undecided:
        form = _value(value) if not unit.tens else None
    else:
        form = Known(spelled(number), "number")
    if form is None or not unit.name:
        return form
    return Group("quantity", (form,), (unit.name,))


def _union(text: str) -> Form | None:
    parts = [part.strip() for part in _UNION.split(text)]
    if len(parts) < 2:
        return None
    forms = [_bracketed(part) for part in parts]
    kept = [form for form in forms if isinstance(form, Group)]
    return Group("union", tuple(kept)) if len(kept) == len(parts) else None


def _bracketed(text: str) -> Form | None:
    """A tuple, an interval, a set, or a value in brackets."""
    if text in _EMPTY:
        return Known("{}", "bound")
    braces = text.startswith("\\{") and text.endswith("\\}")
    if braces:
        inner, shape = text[2:-2], "{"
    elif text.startswith("{") and closing(text, 0) == len(text) - 1:
        inner, shape = text[1:-1], "{"
    elif text[:1] in "([" and text[-1:] in ")]" and enclosed(text):
        inner, shape = text[1:-1], text[0] + text[-1]
    else:
        return None
    if shape == "{" and re.search(r"\\mid|\||:", inner):
        return _leaf(text)
    parts = [part.strip() for part in split_top(inner, ",;")]
    if len(parts) == 1 and (shape == "()" or (not braces and shape == "{")):
        return _value(parts[0]) if parts[0] else None
    if len(parts) != 2 and shape in ("(]", "[)"):
        return None
    forms = [_value(part) if part else None for part in parts]
    kept = [form for form in forms if form is not None]
    if len(kept) != len(parts):
        return None
    if shape == "{":
        return Group("{", tuple(_poured(kept)))
    return Group({"()": "(", "[]": "["}.get(shape, shape), tuple(kept))


def _either(text: str) -> Form | None:
    """Both values of one plus-minus."""
    if len(_PLUS_MINUS.findall(text)) != 1:
        return None
    values = _value(_PLUS_MINUS.sub("+", text).lstrip("+ ")), _value(_PLUS_MINUS.sub("-", text))
    if values[0] is None or values[1] is None:
        return None
    return Group("{", (values[0], values[1]), ("±",))


def _leaf(text: str) -> Form | None:
    tex = plain(text)
    if not tex or len(tex) > _LONGEST_LEAF or _DANGLING.search(tex) or not balanced(tex):
        return None
    if sum(map(tex.count, "([")) != sum(map(tex.count, ")]")):
        return None
    if re.search(r"\\frac(?:\{[^{}]*\})?$|\\frac\{[^{}]*\}(?=[-+=)\]}])", tex):
        return None
    if _DROPPED.search(tex) or _PROSE.search(_ENVIRONMENT.sub("", tex)):
        return Known(f"tex:{tex}", "symbol")
    return Leaf(tex)

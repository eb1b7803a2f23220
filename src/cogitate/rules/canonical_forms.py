"""The shape of an answer: what is decided, what a symbolic engine has to decide, and its spelling."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

UNRESOLVED: Final[Mapping[str, str | None]] = MappingProxyType({})
_BRACKETS = {"(": "()", "[": "[]", "(]": "(]", "[)": "[)", "{": "{}", "list": "<>"}


@dataclass(frozen=True, slots=True)
class Known:
    """A part whose one spelling is decided."""

    text: str
    sort: str = "text"
    """One of `number`, `huge`, `symbol`, `text`, `date`, `clock`, `bound`."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """An expression that only a symbolic engine can decide."""

    tex: str


@dataclass(frozen=True, slots=True)
class Group:
    """Several parts."""

    shape: str
    """`(`, `[`, `(]`, `[)` tuples and intervals; `{` set; `list` with repeats; `union`; `quantity`; `named`."""
    parts: tuple[Form, ...]
    names: tuple[str, ...] = ()
    """For `named`: what each part is the value of; for `quantity`: the unit."""


Form = Known | Leaf | Group


def leaves(form: Form) -> tuple[str, ...]:
    """The expressions that are still undecided, in order, without repeats."""
    if isinstance(form, Leaf):
        return (form.tex,)
    if isinstance(form, Known):
        return ()
    return tuple(dict.fromkeys(tex for part in form.parts for tex in leaves(part)))


def spell(form: Form, resolved: Mapping[str, str | None] = UNRESOLVED) -> str:
    """The one spelling of a form; an undecided expression equals only its own text.

    >>> spell(Group("{", (Known("2", "number"), Known("1", "number"))))
    '{1,2}'
    """
    if isinstance(form, Known):
        return f'"{form.text}"' if form.sort == "text" else form.text
    if isinstance(form, Leaf):
        return resolved.get(form.tex) or f"tex:{form.tex}"
    parts = [spell(part, resolved) for part in form.parts]
    if form.shape == "quantity":
        return f"{parts[0]} {form.names[0]}"
    if form.shape == "named":
        return (
            "<" + ";".join(sorted(f"{n}={p}" for n, p in zip(form.names, parts, strict=True))) + ">"
        )
    if form.shape == "union":
        return "|".join(sorted(set(parts)))
    if form.shape in ("{", "list"):
        parts = _poured(form.parts, parts)
    if form.shape == "{":
        return _set(parts)
    if form.shape == "list":
        return _set(parts) if len(set(parts)) == len(parts) else f"<{','.join(sorted(parts))}>"
    left, right = _BRACKETS[form.shape]
    return left + ",".join(parts) + right


def _set(parts: list[str]) -> str:
    return "{" + ",".join(sorted(set(parts))) + "}"


def _poured(forms: tuple[Form, ...], parts: list[str]) -> list[str]:
    """The members, with the members of sets that a symbolic engine found in their place."""
    out: list[str] = []
    for form, part in zip(forms, parts, strict=True):
        simple = isinstance(form, Leaf) and part[0] == "{" and not re.search(r"[(\[{]", part[1:])
        out.extend(part[1:-1].split(",") if simple and part != "{}" else [part])
    return out


def readings(form: Form, resolved: Mapping[str, str | None] = UNRESOLVED) -> frozenset[str]:
    """The looser spellings that may stand against a reference: without unit, without names."""
    if isinstance(form, Group) and form.shape == "quantity":
        return frozenset({spell(form.parts[0], resolved)})
    if isinstance(form, Group) and form.shape == "named":
        return frozenset({spell(Group("list", form.parts), resolved)})
    return frozenset()


_UNITS: Final[Mapping[str, str]] = MappingProxyType(
    {
        word: unit
        for unit, words in {
            "m": "m meter meters metre metres",
            "cm": "cm centimeter centimeters centimetre centimetres",
            "mm": "mm millimeter millimeters millimetre millimetres",
            "km": "km kilometer kilometers kilometre kilometres kms",
            "in": "inch inches",
            "ft": "ft foot feet",
            "yd": "yd yard yards",
            "mi": "mi mile miles",
            "g": "g gram grams gramme grammes",
            "kg": "kg kilogram kilograms kilo kilos kgs",
            "mg": "mg milligram milligrams",
            "lb": "lb lbs pound-mass",
            "oz": "oz ounce ounces",
            "s": "s sec secs second seconds",
            "ms": "ms millisecond milliseconds",
            "min": "min mins minute minutes",
            "h": "h hr hrs hour hours",
            "d": "day days",
            "week": "week weeks",
            "month": "month months",
            "yr": "yr yrs year years",
            "L": "L l liter liters litre litres",
            "mL": "ml mL milliliter milliliters millilitre millilitres",
            "gal": "gal gallon gallons",
            "deg": "° deg degree degrees",
            "degC": "°C celsius",
            "degF": "°F fahrenheit",
            "rad": "rad radian radians",
            "mph": "mph",
            "km/h": "km/h kmh kph",
            "m/s": "m/s",
            "N": "N newton newtons",
            "J": "J joule joules",
            "W": "W watt watts",
            "V": "V volt volts",
            "A": "ampere amperes amp amps",
            "Hz": "Hz hertz",
            "Pa": "Pa pascal pascals",
            "mol": "mol mole moles",
            "K": "K kelvin kelvins",
            "cent": "cent cents ¢",
            "eur": "€ euro euros EUR",
            "gbp": "£ GBP pounds",
            "jpy": "¥ yen JPY",
            "unit": "unit units",
            "": "dollar dollars USD bucks",
        }.items()
        for word in words.split()
    }
)
_SCALES: Final = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_PERCENTS = frozenset({"percent", "percents", "pct", "percentage", "per cent", "percentage points"})
_NOT_UNITS = frozenset(
    [
        "and",
        "or",
        "if",
        "for",
        "mod",
        "sin",
        "cos",
        "tan",
        "log",
        "exp",
        "where",
        "with",
        "when",
        "let",
        "the",
        "not",
        "than",
        "then",
        "true",
        "false",
    ]
)


@dataclass(frozen=True, slots=True)
class Unit:
    """What a trailing word means: a unit's name, a power of ten, or a percentage."""

    name: str = ""
    tens: int = 0
    percent: bool = False


def unit_of(words: str, *, apart: bool, marked: bool) -> Unit | None:
    """The unit that trails a number; `None` where the letters may be variables.

    Args:
        words: what follows the number.
        apart: whether a space or a text command stands before it.
        marked: whether it stands in a text command.
    """
    words = re.sub(r"[{}\x01]", "", words).strip(" .")
    words = re.sub(r" {2,}", " ", words)
    lowered = words.lower()
    if lowered in _PERCENTS:
        return Unit(percent=True, tens=-2)
    if lowered in _SCALES:
        return Unit(tens=_SCALES[lowered])
    name = _known_unit(words)
    if name is not None and (marked or len(words) > 1 or words in "°€£¥¢"):
        return Unit(name)
    pieces = lowered.split()
    if not apart or not 1 <= len(pieces) <= 4 or _NOT_UNITS & set(pieces):
        return None
    if any(not p.isalpha() for p in pieces) or max(map(len, pieces)) < 3:
        return None
    last = pieces[-1]
    if last.endswith("s") and not last.endswith("ss") and len(last) > 3:
        pieces[-1] = last[:-1]
    return Unit(" ".join(pieces))


def _known_unit(words: str) -> str | None:
    match = re.fullmatch(r"(square|sq\.?|cubic|cu\.?) ?(.+)", words, flags=re.IGNORECASE)
    power = ""
    if match:
        power, words = ("^2" if match[1][0] in "sS" else "^3"), match[2]
    elif match := re.fullmatch(r"(.+?) ?(?:\^ ?([23])| (squared|cubed))", words):
        power = f"^{match[2]}" if match[2] else ("^2" if match[3] == "squared" else "^3")
        words = match[1]
    match = re.fullmatch(r"([A-Za-z]+) ?(?:/|per) ?([A-Za-z]+)", words)
    if match:
        top, bottom = _single(match[1]), _single(match[2])
        return f"{top}/{bottom}{power}" if top and bottom else None
    name = _single(words)
    return None if name is None else name + (power if name else "")


def _single(word: str) -> str | None:
    word = word.strip()
    return _UNITS.get(word, _UNITS.get(word.lower()) if len(word) > 2 else None)

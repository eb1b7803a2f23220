"""Exact numbers, quantities and clock times as one spelling each."""

from __future__ import annotations

import re
from fractions import Fraction

BITS = 12_000
"""Numbers of more bits are never expanded."""
_LARGEST_EXPONENT = 1000
_DECIMAL = re.compile(r"(?:\d+(?:\.\d*)?|\.\d+)")
_GROUPED = re.compile(
    r"\d{1,3}(?:,\d{3})+(?!\d)(?:\.\d+)?|[1-9]\d{0,2}(?: \d{3})+(?![\d/])(?:\.\d+)?"
)
_SCIENTIFIC = re.compile(r"(?<=[\d.])[eE]\s?([+-]?\d{1,40})(?![\d.])")
_TIMES = re.compile(r"\\(?:times|cdot|ast)(?![A-Za-z])|\*")
_DIVIDED = re.compile(r"\\div(?![A-Za-z])|/")
_PERCENT = re.compile(r"\s*\\?%")
_FRACTION = re.compile(r"\\frac\s*")
_SIMPLE = re.compile(r"[+-]?\d{1,400}(?:\.\d{1,400})?", flags=re.ASCII)
_POWER = re.compile(
    r"(?P<sign>[+-]?)\s*(?:(?P<factor>\d+(?:\.\d+)?)\s*(?:\\times|\\cdot|\*)\s*)?"
    r"(?P<root>\d{1,40})\s*(?:\^|\*\*)\s*\{?\s*(?P<exponent>[+-]?\d{1,60})\s*\}?"
)
_EXPONENTIAL = re.compile(r"(?P<m>[+-]?\d+(?:\.\d+)?)[eE](?P<e>[+-]?\d{1,60})")


class Undecided(Exception):
    """The text is not a number that this module can evaluate exactly."""


class Huge(Undecided):
    """The number is too large to be written out."""


def spelled(value: Fraction) -> str:
    """The one spelling of an exact number.

    >>> spelled(Fraction("0.5")), spelled(Fraction(-4, 2))
    ('1/2', '-2')
    """
    if value.denominator == 1:
        return str(value.numerator)
    return f"{value.numerator}/{value.denominator}"


def quick(text: str) -> str | None:
    """The form of a plain integer or decimal, without any parsing; `None` for everything else."""
    if not _SIMPLE.fullmatch(text):
        return None
    if "." not in text:
        return str(int(text))
    return spelled(Fraction(text))


def _bounded(value: Fraction) -> Fraction:
    if value.numerator.bit_length() > BITS or value.denominator.bit_length() > BITS:
        raise Huge
    return value


class _Reader:
    """A recursive-descent reader of arithmetic; brackets are limited by the caller."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0
        self.commas = True
        """Whether a comma may group digits; never inside brackets, where it separates."""

    def skip(self) -> None:
        while self.at < len(self.text) and self.text[self.at] == " ":
            self.at += 1

    def take(self, pattern: re.Pattern[str]) -> str | None:
        start = self.at
        self.skip()
        match = pattern.match(self.text, self.at)
        if match is None:
            self.at = start
            return None
        self.at = match.end()
        return match.group()

    def peek(self) -> str:
        self.skip()
        return self.text[self.at : self.at + 1]

    def sum(self) -> Fraction:
        total = self.signed()
        while (char := self.peek()) in ("+", "-") and char:
            self.at += 1
            value = self.product()
            total = _bounded(total + value if char == "+" else total - value)
        return total

    def signed(self) -> Fraction:
        char = self.peek()
        if char and char in "+-":
            self.at += 1
            value = self.signed()
            return -value if char == "-" else value
        return self.product()

    def product(self) -> Fraction:
        value = self.power()
        while True:
            if self.take(_TIMES):
                value = _bounded(value * self.factor())
            elif self.take(_DIVIDED):
                divisor = self.factor()
                if not divisor:
                    raise Undecided
                value = _bounded(value / divisor)
            else:
                return value

    def factor(self) -> Fraction:
        if self.peek() == "-":
            self.at += 1
            return -self.factor()
        return self.power()

    def power(self) -> Fraction:
        value = self.atom()
        if self.text.startswith("**", self.at) or self.peek() == "^":
            self.at += 2 if self.peek() == "*" else 1
            exponent = self.argument()
            if exponent.denominator != 1 or (not value and exponent <= 0):
                raise Undecided
            size = max(value.numerator.bit_length(), value.denominator.bit_length())
            if abs(exponent.numerator) * size > BITS and value not in (0, 1, -1):
                raise Huge
            if abs(exponent.numerator) > _LARGEST_EXPONENT * BITS:
                raise Huge
            value = value**exponent.numerator
            if self.peek() == "^":
                raise Undecided
        if self.take(_PERCENT):
            value /= 100
        return value

    def argument(self) -> Fraction:
        """A group in braces, a signed number, or a single digit."""
        if self.peek() == "{":
            return self.group("}")
        if self.peek() == "-":
            self.at += 1
            return -self.argument()
        if self.peek() == "(":
            return self.group(")")
        found = self.take(re.compile(r"\d+"))
        if found is None:
            raise Undecided
        return Fraction(found)

    def group(self, end: str) -> Fraction:
        self.at += 1
        commas, self.commas = self.commas, False
        value = self.sum()
        if self.peek() != end:
            raise Undecided
        self.at += 1
        self.commas = commas
        return value

    def atom(self) -> Fraction:
        char = self.peek()
        if char == "(":
            return self.group(")")
        if char == "{":
            return self.group("}")
        if char == "\\":
            return self.fraction()
        return self.literal()

    def fraction(self) -> Fraction:
        if not self.take(_FRACTION):
            raise Undecided
        top = self.part()
        bottom = self.part()
        if not bottom:
            raise Undecided
        return _bounded(top / bottom)

    def part(self) -> Fraction:
        if self.peek() == "{":
            return self.group("}")
        digit = self.take(re.compile(r"\d"))
        if digit is None:
            raise Undecided
        return Fraction(digit)

    def literal(self) -> Fraction:
        grouped = self.take(_GROUPED) if self.commas else None
        text = re.sub("[ ,]", "", grouped) if grouped else self.take(_DECIMAL)
        if text is None:
            raise Undecided
        value = Fraction(text if text[-1] != "." else text[:-1])
        exponent = self.take(_SCIENTIFIC)
        if exponent:
            if abs(int(exponent[1:])) > _LARGEST_EXPONENT:
                raise Huge
            value *= Fraction(10) ** int(exponent[1:])
        elif value.denominator == 1 and not grouped:
            value += self.mixed()
        return value

    def mixed(self) -> Fraction:
        """The proper fraction of a mixed number such as `1 1/2`, or zero."""
        start = self.at
        if self.text[start : start + 1] == " ":
            found = self.take(re.compile(r"(\d{1,9})/(\d{1,9})(?!\d)"))
            if found:
                top, _, bottom = found.partition("/")
                return _proper(int(top), int(bottom))
        found = self.take(
            re.compile(r"\\frac\s*\{\s*\d{1,9}\s*\}\s*\{\s*\d{1,9}\s*\}|\\frac\s*\d\d")
        )
        if found:
            digits = re.findall(r"\d+", found)
            top, bottom = digits if len(digits) == 2 else digits[0]
            return _proper(int(top), int(bottom))
        self.at = start
        return Fraction(0)


def _proper(top: int, bottom: int) -> Fraction:
    if not 0 < top < bottom:
        raise Undecided
    return Fraction(top, bottom)


def value_of(text: str) -> Fraction:
    r"""The exact value of cleaned arithmetic.

    >>> value_of("1{,}024"), value_of("3.5e2"), value_of("25\\%")
    (Fraction(1024, 1), Fraction(350, 1), Fraction(1, 4))

    Raises:
        Undecided: when it is anything else than rational arithmetic, or too large.
    """
    if not any(c.isdigit() for c in text):
        raise Undecided
    reader = _Reader(re.sub(r"(?<=\d)\{,\}(?=\d{3}(?!\d))", "", text))
    value = reader.sum()
    if reader.peek():
        raise Undecided
    return value


def huge(text: str) -> str | None:
    r"""The form of a number too large to write out, such as `10^{100000000}`; never expanded.

    >>> huge("20 \\times 10^{100000000}"), huge("1e100000001")
    ('10^100000001*2', '10^100000001')
    """
    match = _EXPONENTIAL.fullmatch(text)
    if match:
        return _in_tens(Fraction(match["m"]), int(match["e"]))
    match = _POWER.fullmatch(text)
    if match is None:
        return None
    exponent = int(match["exponent"])
    root, exponent = _least_root(int(match["root"]), exponent)
    sign = "-" if match["sign"] == "-" else ""
    if root == 10:
        return _in_tens(Fraction(sign + (match["factor"] or "1")), exponent)
    factor = Fraction(match["factor"] or 1)
    return f"{sign}{root}^{exponent}" + ("" if factor == 1 else f"*{spelled(factor)}")


def _in_tens(mantissa: Fraction, exponent: int) -> str:
    """`10^e*m` with an integer `m` that does not end in 0."""
    if not mantissa:
        return "0"
    while mantissa.denominator != 1:
        mantissa, exponent = mantissa * 10, exponent - 1
    number = mantissa.numerator
    while number % 10 == 0:
        number, exponent = number // 10, exponent + 1
    tail = {1: "", -1: ""}.get(number, f"*{abs(number)}")
    return f"{'-' if number < 0 else ''}10^{exponent}{tail}"


def _least_root(root: int, exponent: int) -> tuple[int, int]:
    """The same power with the least root, such as 10^2k for 100^k."""
    for degree in range(root.bit_length(), 1, -1):
        guess = round(root ** (1 / degree))
        for candidate in (guess - 1, guess, guess + 1):
            if candidate > 1 and candidate**degree == root:
                return candidate, exponent * degree
    return root, exponent


_CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?\s*(?:([apAP])\.?\s?[mM]\.?)?")
_RATIO = re.compile(r"\d{1,12}(?: ?: ?\d{1,12}){1,5}")
_HOUR = re.compile(r"(1[0-2]|0?[1-9])\s*([apAP])\.?\s?[mM]\.?")


def clock(text: str) -> str | None:
    """The form of a clock time or a ratio; `12:30` without am or pm is neither.

    >>> clock("1:30 PM"), clock("13:30"), clock("1:30"), clock("7:5")
    ('13:30h', '13:30h', '1:30', '7:5')
    """
    match = _CLOCK.fullmatch(text) or _HOUR.fullmatch(text)
    if match is None:
        return re.sub(" ", "", text) if _RATIO.fullmatch(text) else None
    groups = match.groups()
    hour, half = int(groups[0]), groups[-1]
    minute = groups[1] if len(groups) == 4 else "00"
    second = f":{groups[2]}" if len(groups) == 4 and groups[2] else ""
    if half is None:
        return f"{hour}:{minute}{second}" + ("h" if hour > 12 or hour == 0 else "")
    if not 1 <= hour <= 12:
        return None
    hour = hour % 12 + (12 if half in "pP" else 0)
    return f"{hour}:{minute}{second}h"

"""Whether what a program printed is what was expected."""

from __future__ import annotations

from typing import Literal, get_args

Comparison = Literal["lines", "tokens", "numbers"]
COMPARISONS = get_args(Comparison)


def same_output(
    printed: str, expected: str, how: Comparison = "tokens", tolerance: float = 1e-6
) -> bool:
    r"""Compare two outputs as contests do.

    `lines`: equal but for blanks at the ends of lines and empty lines at the end. `tokens`: equal but for
    blanks altogether. `numbers`: as tokens, but numbers may differ by `tolerance`, absolutely or relatively.

    >>> same_output("1 2\n", "1  2"), same_output("1 2\n", "1  2", "lines")
    (True, False)
    >>> same_output("0.3333333", "0.33333333", "numbers"), same_output("nan", "nan", "numbers")
    (True, True)
    """
    if how == "lines":
        return _lines(printed) == _lines(expected)
    got, wanted = printed.split(), expected.split()
    if how == "tokens":
        return got == wanted
    return len(got) == len(wanted) and all(
        a == b or _near(a, b, tolerance) for a, b in zip(got, wanted, strict=True)
    )


def _lines(text: str) -> list[str]:
    return "\n".join(line.rstrip() for line in text.splitlines()).rstrip("\n").split("\n")


def _near(a: str, b: str, tolerance: float) -> bool:
    try:
        x, y = float(a), float(b)
    except ValueError:
        return False
    return abs(x - y) <= tolerance * max(1.0, abs(y))

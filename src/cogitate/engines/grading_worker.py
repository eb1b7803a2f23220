"""The process that reads symbolic answers with Math-Verify; run by path, killed by its parent.

One JSON value a line: it reads `{"tex": …}` and writes `{"form": … or null}`; it ends when its input
closes. It imports nothing of this package, so that it starts as soon as its two libraries are loaded.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from typing import Any

sympy: Any = None
mpmath: Any = None
math_verify: Any = None
latex: Any = None

MEMORY = 2 << 30
"""Bytes of address space, where the platform can limit it."""
DIGITS = 50
"""Significant digits of an irrational constant in its form."""
_GUARD = 25
_NUMERATORS = (7919, -104729, 1299709, -611953, 15485863, -32452843, 86028121, 122949823)
_DENOMINATORS = (10007, 30011, 2017, 50021, 99991, 7001, 60013, 20011)
_DECIMAL = re.compile(r"(?<![\d.])\d{0,60}\.\d{1,60}(?![\d.])")
_POINTS = 8
_KEPT = 40
"""Significant digits of a value at a point."""


class Unreadable(Exception):
    """The expression has no form."""


def spelled(number: Any) -> str:
    """`p` or `p/q`, as the rules of this package spell exact numbers."""
    if number.p.bit_length() > 12_000 or number.q.bit_length() > 12_000:
        raise Unreadable
    return str(number.p) if number.q == 1 else f"{number.p}/{number.q}"


def exact(expression: Any) -> Any:
    """The expression evaluated, with decimals as exact fractions."""
    if hasattr(expression, "doit"):
        expression = expression.doit()
    decimals = {f: sympy.Rational(str(f)) for f in expression.atoms(sympy.Float)}
    calls = {
        call: sympy.Symbol(str(call)) for call in expression.atoms(sympy.core.function.AppliedUndef)
    }
    return expression.xreplace({**decimals, **calls}) if decimals or calls else expression


def constant(expression: Any) -> str:
    """The form of an expression without variables."""
    if expression.is_Rational:
        return spelled(expression)
    if expression.is_infinite:
        return {"oo": "oo", "-oo": "-oo"}.get(str(expression)) or _reject()
    value = expression.evalf(DIGITS + _GUARD, maxn=400)
    real, imaginary = value.as_real_imag()
    if not (real.is_Number and imaginary.is_Number and real.is_finite and imaginary.is_finite):
        raise Unreadable
    if not imaginary or abs(imaginary) < abs(real) * sympy.Rational(1, 10**DIGITS):
        guess = sympy.nsimplify(real, rational=True, tolerance=sympy.Rational(1, 10**DIGITS))
        if guess.q < 10**12 and expression.equals(guess):
            return spelled(guess)
        return "~" + shortened(real)
    return f"~{shortened(real)}{'' if imaginary < 0 else '+'}{shortened(imaginary)}i"


def _reject() -> str:
    raise Unreadable


def shortened(value: Any, digits: int = DIGITS) -> str:
    """A decimal in scientific notation; tiny remains of rounding are zero."""
    with mpmath.workdps(digits + _GUARD):
        return str(
            mpmath.nstr(mpmath.mpf(value), digits, strip_zeros=True, min_fixed=1, max_fixed=0)
        )


def values(expression: Any, symbols: list[Any]) -> list[Any]:
    """The expression at fixed points; `None` where it is not finite there."""
    out: list[Any] = []
    for i in range(_POINTS):
        point = {
            s: sympy.Rational(_NUMERATORS[(i + 3 * j) % 8] + 97 * j, _DENOMINATORS[(i + 5 * j) % 8])
            for j, s in enumerate(symbols)
        }
        value = expression.xreplace(point).evalf(_KEPT + 20, maxn=200)
        real, imaginary = value.as_real_imag()
        usable = real.is_Number and imaginary.is_Number and real.is_finite and imaginary.is_finite
        out.append((real, imaginary) if usable else None)
    return out


def fingerprint(rows: list[Any], scale: Any = 1) -> str:
    """Digest of the values at the points."""
    if sum(row is not None for row in rows) < 3:
        raise Unreadable
    shown: list[str] = []
    for row in rows:
        if row is None:
            shown.append("-")
            continue
        size = max(abs(row[0]), abs(row[1]))
        least = size / 10**_KEPT
        shown.append("/".join(shortened(0 if abs(p) <= least else p / scale, _KEPT) for p in row))
    return hashlib.blake2b("|".join(shown).encode(), digest_size=10).hexdigest()


def variable(expression: Any) -> str:
    """The form of an expression in variables: what it is worth at fixed points."""
    symbols = sorted(expression.free_symbols, key=str)
    names = ",".join(str(s) for s in symbols)
    if len(symbols) == 1 and expression == symbols[0]:
        return names
    rows = values(expression, symbols)
    if rows[0] and all(row == rows[0] for row in rows):
        simpler = expression.simplify()
        if not simpler.free_symbols:
            return constant(simpler)
    return f"f({names}):{fingerprint(rows)}"


def relation(expression: Any) -> str:
    """The form of an equation or inequality: one side, up to a factor."""
    kind: Any = expression.__class__
    side = expression.lhs - expression.rhs
    if isinstance(expression, (sympy.Gt, sympy.Ge)):
        side = -side
    strict = "<" if "Strict" in kind.__name__ else "<="
    symbols = sorted(side.free_symbols, key=str)
    if not symbols:
        raise Unreadable
    if len(symbols) == 1 and not isinstance(expression, (sympy.Eq, sympy.Ne)):
        found = expression.as_set()
        if isinstance(found, sympy.Interval) and found != sympy.S.Reals:
            return form(found)
    rows = values(side, symbols)
    first = next((row[0] for row in rows if row and row[0] and not row[1]), None)
    if first is None:
        raise Unreadable
    signed = isinstance(expression, (sympy.Eq, sympy.Ne))
    sign = {sympy.Eq: "=0", sympy.Ne: "!=0"}.get(kind, strict + "0")
    names = ",".join(str(s) for s in symbols)
    return f"f({names}){sign}:{fingerprint(rows, first if signed else abs(first))}"


def form(expression: Any) -> str:
    """The form of whatever Math-Verify has read."""
    if isinstance(expression, sympy.MatrixExpr):
        expression = expression.doit()
    if isinstance(expression, sympy.MatrixBase):
        rows = expression.doit().tolist()
        return "[[" + "],[".join(",".join(form(x) for x in row) for row in rows) + "]]"
    if isinstance(expression, sympy.FiniteSet) or type(expression).__name__ == "FiniteSet":
        return "{" + ",".join(sorted({form(x) for x in expression.args})) + "}"
    if isinstance(expression, sympy.Tuple):
        return "(" + ",".join(form(x) for x in expression) + ")"
    if isinstance(expression, sympy.Interval):
        left, right = "(["[not expression.left_open], ")]"[not expression.right_open]
        return f"{left}{form(expression.start)},{form(expression.end)}{right}"
    if isinstance(expression, sympy.Union):
        return "|".join(sorted(form(x) for x in expression.args))
    if isinstance(expression, sympy.core.relational.Relational):
        return relation(exact(expression))
    if isinstance(expression, sympy.And):
        return "&".join(sorted(form(x) for x in expression.args))
    expression = exact(expression)
    try:
        return variable(expression) if expression.free_symbols else constant(expression)
    except (Unreadable, TypeError, ValueError, AttributeError, ZeroDivisionError):
        return structure(expression)


def structure(expression: Any) -> str:
    """The form of what has no value: its tree."""
    if expression.has(sympy.nan, sympy.zoo):
        raise Unreadable
    return "sym:" + hashlib.blake2b(sympy.srepr(expression).encode(), digest_size=10).hexdigest()


def _as_fraction(decimal: re.Match[str]) -> str:
    """A decimal as a fraction: Math-Verify would read a rounded one, and 2^{0.5} would be inexact."""
    whole, _, part = decimal.group().partition(".")
    return f"{{\\frac{{{int(whole + part)}}}{{{10 ** len(part)}}}}}"


def load() -> None:
    """Import what the forms need, and let Math-Verify tell `A` from `a`, which by default it does not.

    The modules are untyped; they are bound here, late, because the package must import without them.
    """
    global sympy, mpmath, math_verify, latex
    from functools import partial
    from importlib import import_module

    math_verify = import_module("math_verify")
    latex = import_module("latex2sympy2_extended.latex2sympy2")
    sympy, mpmath = import_module("sympy"), import_module("mpmath")
    config = latex.ConversionConfig(lowercase_symbols=False)
    parser: Any = import_module("math_verify.parser")
    parser.latex2sympy = partial(latex.latex2sympy, conversion_config=config)


def read(tex: str) -> str | None:
    """The form of LaTeX, or `None` where it cannot be read."""
    tex = _DECIMAL.sub(_as_fraction, tex)
    # units=True would drop the m of \sqrt{3}m
    tidy = latex.NormalizationConfig(
        basic_latex=True, units=False, malformed_operators=True, nits=True, boxed="none",
        equations=False,
    )  # fmt: skip
    target = math_verify.LatexExtractionConfig(boxed_match_priority=-1, normalization_config=tidy)
    found = math_verify.parse(f"${tex}$", [target], parsing_timeout=None)
    for one in found:
        if isinstance(one, (sympy.Basic, sympy.MatrixBase)):
            return form(one)
    return None


def _limit_memory() -> None:
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    except (ImportError, OSError, ValueError):
        return


def main() -> None:
    """Answer lines until the input closes."""
    import logging

    sys.path[:] = json.loads(sys.stdin.readline())["path"]
    logging.disable(logging.CRITICAL)
    _limit_memory()
    out, sys.stdout = sys.stdout, sys.stderr
    try:
        load()
        read("x+\\frac{1}{2}")
        ready = True
    except ImportError:
        ready = False
    print(json.dumps({"ready": ready}), file=out, flush=True)
    for line in sys.stdin:
        try:
            found = read(json.loads(line)["tex"])
        except (MemoryError, RecursionError):
            return
        except Exception:
            found = None
        print(json.dumps({"form": found}), file=out, flush=True)


if __name__ == "__main__":
    main()

"""What a program must do: tests of its functions, or of what it prints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .errors import InvalidInput


@dataclass(frozen=True)
class FunctionTests:
    r"""Tests that call a function, in the manner of HumanEval.

    >>> FunctionTests("add", "def check(f):\n    assert f(1, 2) == 3\ncheck(add)").name
    'add'
    """

    name: str
    """The function that the answer must define."""
    tests: str
    """Trusted Python that calls it, and others of the program, by name; an exception is a failure."""
    beginning: str = ""
    """What the answer continues, such as imports, a signature and a docstring."""

    def __post_init__(self) -> None:
        if not self.name.isidentifier() or not self.tests.strip():
            raise InvalidInput(
                f"tests of the function {self.name[:80]!r} were given; they need its name and some tests"
            )


@dataclass(frozen=True, slots=True)
class IoCase:
    """One run of a program: what it reads, and what it must print."""

    stdin: str
    expected: str


@dataclass(frozen=True)
class IoTests:
    """Tests of what a program prints for given inputs, in the manner of contests."""

    cases: tuple[IoCase, ...]
    compare: Literal["lines", "tokens", "numbers"] = "tokens"
    checker: str = ""
    """Trusted Python where several outputs are right: reads `input.txt`, `expected.txt` and `output.txt`, and raises where the output is wrong."""

    def __post_init__(self) -> None:
        if not self.cases:
            raise InvalidInput("tests of a program's output were given without a case; give one")


CodeTests = FunctionTests | IoTests

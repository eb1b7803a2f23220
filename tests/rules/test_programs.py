from __future__ import annotations

import pytest

from cogitate.rules import assertions, completed, defined, free_names, same_output


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("assert f(1) == g(2)", ("f", "g")),
        ("import math as m\nassert m.floor(x) == len([])", ("x",)),
        ("def check(f):\n    y = f(1)\n    assert y\ncheck(solve)", ("solve",)),
        ("try:\n    f()\nexcept ValueError as e:\n    print(e)", ("f",)),
        ("[f(x) for x in xs]", ("f", "xs")),
        ("not python(", ()),
        ("x" * 300_000, ()),
        ("a\0b", ()),
    ],
)
def test_free_names(source: str, names: tuple[str, ...]) -> None:
    assert free_names(source) == names


def test_what_completes_a_beginning() -> None:
    beginning = 'import math\n\ndef help(x):\n    return x\n\ndef f(x):\n    """Doc."""\n'
    assert completed(beginning, "    return 1\n", "f") == beginning + "    return 1\n"
    whole = completed(beginning, "def f(x):\n    return help(x)", "f")
    assert whole.startswith("import math\n\ndef help")
    assert whole.count("def f(") == 1
    assert defined(whole) == {"help", "f"}
    assert completed("", "def f(): pass", "f") == "def f(): pass"


def test_assertions_are_read_from_anything() -> None:
    text = "Sure:\n```python\nassert f(1) == 2\n  assert f(2) == 3  # edge\n```\nassert True\nassert f("
    assert assertions(text, 9) == ("assert f(1) == 2", "assert f(2) == 3")
    assert assertions(text, 1) == ("assert f(1) == 2",)
    assert assertions("assert f(1); import os", 9) == ()
    assert assertions("", 9) == ()


@pytest.mark.parametrize(
    ("printed", "expected", "how", "same"),
    [
        ("1\n2\n\n", "1 \n2", "lines", True),
        ("1\n\n2", "1\n2", "lines", False),
        ("1\n\n2", "1 2", "tokens", True),
        ("1.0", "1", "tokens", False),
        ("1.0000001 a", "1 a", "numbers", True),
        ("1000000.5", "1000000", "numbers", True),
        ("1.1", "1", "numbers", False),
        ("1", "1 2", "numbers", False),
        ("inf", "1e999", "numbers", False),
    ],
)
def test_outputs(printed: str, expected: str, how: str, same: bool) -> None:
    assert same_output(printed, expected, how) is same  # pyright: ignore[reportArgumentType]

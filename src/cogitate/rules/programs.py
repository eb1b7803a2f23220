"""Programs as text: what they define, what they lack, and how an answer completes a beginning."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Sequence

_BUILTIN = frozenset(dir(builtins))
LONGEST = 200_000
"""Characters of a program that is read."""


def parsed(source: str) -> ast.Module | None:
    """The syntax tree; `None` where it is no Python, or too long or deep to be read."""
    if len(source) > LONGEST or "\0" in source:
        return None
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def defined(source: str) -> frozenset[str]:
    r"""The names of functions and classes at the top of a program.

    >>> sorted(defined("def f(): ...\nclass C: ...\nx = 1"))
    ['C', 'f']
    """
    tree = parsed(source)
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return frozenset(n.name for n in tree.body if isinstance(n, kinds)) if tree else frozenset()


def free_names(source: str) -> tuple[str, ...]:
    r"""The names that a program reads and nowhere binds, sorted; builtins are left out.

    >>> free_names("import math\nassert area(math.pi) == [f(x) for x in range(3)]")
    ('area', 'f')
    """
    tree = parsed(source)
    if tree is None:
        return ()
    read: set[str] = set()
    bound: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Name():
                (read if isinstance(node.ctx, ast.Load) else bound).add(node.id)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                bound.add(node.name)
            case ast.arg():
                bound.add(node.arg)
            case ast.alias():
                bound.add((node.asname or node.name).partition(".")[0])
            case ast.ExceptHandler() if node.name:
                bound.add(node.name)
            case _:
                pass
    return tuple(sorted(read - bound - _BUILTIN))


def completed(beginning: str, answer: str, name: str) -> str:
    r"""The whole program of an answer to a beginning such as a signature with its docstring.

    An answer that defines `name` itself comes after what stands before that definition in the beginning, such
    as imports and other functions; one that does not is the rest of the body.

    >>> print(completed("import math\ndef f(x):\n", "def f(x):\n    return x", "f"))
    import math
    <BLANKLINE>
    def f(x):
        return x
    >>> print(completed("def f(x):\n", "    return x", "f"))
    def f(x):
        return x
    """
    if name not in defined(answer) and f"def {name}(" not in answer:
        return beginning + answer
    before = beginning.partition(f"def {name}(")[0].rstrip()
    return f"{before}\n\n{answer}" if before else answer


def assertions(text: str, at_most: int) -> tuple[str, ...]:
    r"""The assert statements in a text that may be code, a fenced block, or lines among prose; each once.

    >>> assertions("Here:\nassert f(1) == 2\nassert f( 1 )==2\nassert broken(", 5)
    ('assert f(1) == 2',)
    """
    found: dict[str, None] = {}
    for line in text[:LONGEST].splitlines():
        stripped = line.strip().strip("`")
        if not stripped.startswith("assert "):
            continue
        tree = parsed(stripped)
        if tree is None or len(tree.body) != 1 or not isinstance(tree.body[0], ast.Assert):
            continue
        if free_names(stripped):
            found.setdefault(ast.unparse(tree.body[0]))
        if len(found) == at_most:
            break
    return tuple(found)


def bound_to_program(names: Sequence[str]) -> str:
    """Lines of a harness that take functions of the program under test under their own names."""
    return "".join(f"{name} = program.{name}\n" for name in names if name.isidentifier())

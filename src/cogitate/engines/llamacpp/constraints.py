"""Constraints in llama.cpp's terms, and the proof that llama.cpp enforces them.

llama.cpp hands JSON schemas and regular expressions to a library that, given one it cannot compile,
generates *unconstrained* text without a word. Such a constraint is therefore tried once with a mark
in front of it: a compiled one must begin with the mark.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from cogitate.core.errors import Failed
from cogitate.core.requests import Choice, Constraint, Grammar, JsonSchema

MARK: Final = "zq7"
DIALECT: Final = "%llguidance {}\n"


def grammar_of(constraint: Constraint) -> str:
    r"""The constraint as a grammar that llama.cpp reads.

    Raises:
        Failed: when it is empty or malformed; an empty one would be silently ignored.

    >>> grammar_of(Choice(("yes", 'a "b"')))
    'root ::= "yes" | "a \\"b\\""'
    """
    match constraint:
        case Choice():
            if not any(constraint.options):
                raise Failed(
                    "a choice among no options was asked for; give at least one", "unsupported"
                )
            return "root ::= " + " | ".join(_quoted(option) for option in constraint.options)
        case Grammar():
            if not re.search(r"^\s*root\s*::=", constraint.gbnf, re.MULTILINE):
                raise Failed(
                    "the GBNF grammar has no rule named root; add `root ::= …`", "unsupported"
                )
            return constraint.gbnf
        case JsonSchema():
            return f"{DIALECT}start: {_schema(constraint)}"
        case _:
            return f"{DIALECT}start: {_literal(constraint.pattern)}"


def probe_of(constraint: Constraint) -> str:
    """A grammar that must begin with `MARK` if the constraint compiles; empty where none is needed."""
    match constraint:
        case JsonSchema():
            return f'{DIALECT}start: "{MARK}" inner\ninner: {_schema(constraint)}'
        case Choice() | Grammar():
            return ""  # llama.cpp's own parser refuses what it cannot read
        case _:
            return f'{DIALECT}start: "{MARK}" inner\ninner: {_literal(constraint.pattern)}'


def forced(ids: tuple[int, ...]) -> str:
    """The grammar of exactly these tokens.

    >>> forced((504, 2988))
    'root ::= <[504]> <[2988]>'
    """
    return "root ::= " + " ".join(f"<[{token}]>" for token in ids)


def not_enforced(constraint: Constraint) -> Failed:
    """What to say of a constraint that llama.cpp would ignore."""
    kind = "JSON schema" if isinstance(constraint, JsonSchema) else "regular expression"
    return Failed(
        f"llama.cpp cannot enforce this {kind}; simplify it (no look-around, no back-references, "
        "standard schema keywords only)",
        "unsupported",
    )


def _quoted(option: str) -> str:
    escaped = option.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + escaped.replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t") + '"'


def _schema(constraint: JsonSchema) -> str:
    try:
        schema: Any = json.loads(constraint.schema)
    except ValueError as error:
        raise Failed(f"the JSON schema is not JSON: {error}", "unsupported") from error
    if not isinstance(schema, (dict, bool)):
        raise Failed("the JSON schema must be a JSON object", "unsupported")
    return f"%json {json.dumps(schema)}"


def _literal(pattern: str) -> str:
    if not pattern:
        raise Failed("an empty regular expression was asked for; give one", "unsupported")
    text = re.sub(
        r"\\.|/", lambda found: "\\/" if found[0] == "/" else found[0], pattern, flags=re.DOTALL
    )
    return "/" + text.replace("\n", "\\n").replace("\r", "\\r") + "/"

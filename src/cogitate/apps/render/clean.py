"""Making a model's text safe to print: it may hold terminal escapes, markup and direction marks."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.text import Text

_ESCAPES = re.compile(
    r"(?:\x1b\]|\x9d)[^\x07\x1b\x9c\x9d]{0,4096}(?:\x07|\x1b\\|\x9c)"  # titles, links, clipboard
    r"|(?:\x1b[PX^_]|[\x90\x98\x9e\x9f])[^\x1b\x9c]{0,4096}(?:\x1b\\|\x9c)"  # device strings
    r"|(?:\x1b\[|\x9b)[0-?]{0,64}[ -/]{0,16}[@-~]"  # colours, cursor, erasing
    r"|\x1b[ -/]{0,4}[0-~]"  # the rest of the two-character kind
)
_BLANKS = frozenset("\n\r\t\v\f\x1c\x1d\x1e\x85\u2028\u2029")
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})
_MAX_MARKS = 3
"""Combining marks on one character; more only serve to paint over other lines."""


def cleaned(text: str, *, lines: bool = False, limit: int = 100_000) -> str:
    r"""The text without anything that could steer a terminal, at most `limit` characters of it.

    Escape sequences, control and format characters are dropped; blanks become spaces, except that
    line feeds stay with `lines`.

    >>> cleaned("\x1b[31mred\x1b[0m\x07 \x1b]0;owned\x07ok\u202e")
    'red ok'
    """
    out: list[str] = []
    marks = 0
    for character in _ESCAPES.sub("", text[: 8 * limit]):
        if character in _BLANKS:
            out.append("\n" if lines and character == "\n" else " ")
            marks = 0
            continue
        if character.isascii() and character.isprintable():
            out.append(character)
            marks = 0
            continue
        category = unicodedata.category(character)
        if category in _UNSEEN:
            continue
        marks = marks + 1 if category in ("Mn", "Me") else 0
        if marks <= _MAX_MARKS:
            out.append(character)
    return "".join(out)[:limit]


def one_line(text: str, width: int, *, ascii_only: bool = False) -> str:
    r"""The text on one line of at most `width` characters, cut in the middle where it is longer.

    The end of a solution holds its answer, so the end stays.

    >>> one_line("first a long calculation\nthen the answer 42", 24)
    'first a lo … e answer 42'
    """
    flat = " ".join(cleaned(text, limit=max(20_000, width)).split())
    if len(text) > 20_000:  # the end is what matters, and `cleaned` keeps the beginning
        flat = flat[:width] + " " + " ".join(cleaned(text[-20_000:]).split())[-width:]
    flat = in_ascii(flat) if ascii_only else flat
    if len(flat) <= width:
        return flat
    mark = " ... " if ascii_only else " … "
    head = (width - len(mark)) // 2
    tail = width - len(mark) - head
    if head < 1:
        return flat[: max(0, width)]
    return flat[:head] + mark + flat[-tail:]


def in_ascii(text: str) -> str:
    """The text for a terminal without Unicode; what it cannot show becomes a question mark.

    >>> in_ascii("3 × 4 → café")
    '3 x 4 -> cafe'
    """
    plain = unicodedata.normalize("NFKD", text.translate(_ASCII))
    return (
        "".join(c for c in plain if not unicodedata.combining(c))
        .encode("ascii", "replace")
        .decode()
    )


_ASCII = str.maketrans(
    {"×": "x", "÷": "/", "−": "-", "–": "-", "—": "-", "→": "->", "≤": "<=", "≥": ">=", "…": "..."}
    | {"‘": "'", "’": "'", "“": '"', "”": '"', "·": "*", "√": "sqrt", "∞": "oo", "±": "+/-"}
)


def safe_text(text: str, style: str = "", *, lines: bool = False, ascii_only: bool = False) -> Text:
    """A rich text that shows exactly these characters: no markup, emoji codes or links are read."""
    from rich.text import Text

    shown = cleaned(text, lines=lines)
    return Text(in_ascii(shown) if ascii_only else shown, style=style)

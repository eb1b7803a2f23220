"""Text that is safe in HTML and in Markdown, whoever wrote it."""

from __future__ import annotations

import html
import json
import re
import unicodedata
from typing import Any, Final

_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})
_KEPT: Final = frozenset("\n\t")
_MOST_MARKS: Final = 3
"""Combining marks on one character; more only serve to paint over other lines."""
_ORDINARY: Final = re.compile(r"[\n\t -~\u00a0-\u00ac\u00ae-\u02ff\u2010-\u2027\u2030-\u205e]*")
_WORD: Final = 16
"""Letters that are given up, so that no word is cut."""
_IN_MARKDOWN: Final = re.compile(r"([\\`*\[<>|~$&]|(?<![^\W_])_|_(?![^\W_])|^[-#+=])")


def visible(text: str) -> str:
    r"""The text with every character that is not seen written out, so that it can steer nothing.

    Control and format characters (direction marks among them), unpaired surrogates and unassigned
    characters become their number in brackets; piles of combining marks are cut.

    >>> visible("left\u202eright\ud800")
    'left⟨U+202E⟩right⟨U+D800⟩'
    """
    if _ORDINARY.fullmatch(text):
        return text
    out: list[str] = []
    marks = 0
    for character in text.replace("\r\n", "\n"):
        category = unicodedata.category(character)
        if category in _UNSEEN and character not in _KEPT:
            out.append(f"⟨U+{ord(character):04X}⟩")
            continue
        marks = marks + 1 if category in ("Mn", "Me") else 0
        if marks <= _MOST_MARKS:
            out.append(character)
    return "".join(out)


def escaped(text: str) -> str:
    """The text for HTML, in an element or in a quoted attribute.

    >>> escaped("<b>'x' & y</b>")
    '&lt;b&gt;&#x27;x&#x27; &amp; y&lt;/b&gt;'
    """
    return html.escape(visible(text))


def in_markdown(text: str) -> str:
    r"""The text on one line, without anything that Markdown reads as markup.

    >>> print(in_markdown("a|b <i> [x](y) best_of _z_"))
    a\|b \<i\> \[x](y) best_of \_z\_
    """
    return _IN_MARKDOWN.sub(r"\\\1", " ".join(visible(text).split()))


def in_script(value: Any) -> str:
    r"""JSON that can stand in a `<script>` element: nothing in it ends the element or begins a comment.

    >>> in_script({"a": "</script><!--"})
    '{"a":"\\u003c/script\\u003e\\u003c!--"}'
    """
    said = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return said.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def clipped(text: str, most: int) -> str:
    """The text, or its beginning and its end with a mark between; the end of a solution holds its answer.

    >>> clipped("abcdefghij", 6)
    'ab … ij'
    """
    if len(text) <= most:
        return text
    head = max(1, (most - 2) // 3 if most > 12 else (most - 2) // 2)
    tail = max(1, most - 2 - head)
    first, last = text[:head], text[-tail:]
    if " " in first[-_WORD:]:
        first = first[: first.rindex(" ")]
    if " " in last[:_WORD]:
        last = last[last.index(" ") :]
    return f"{first.rstrip()} … {last.lstrip()}"

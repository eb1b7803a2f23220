"""Clean up the LaTeX and Markdown that surrounds an answer, in time linear in its length."""

from __future__ import annotations

import re

LONGEST = 4000
"""Answers of more characters abstain."""
DEEPEST = 24
"""Answers nested more deeply abstain."""

_OPEN, _CLOSE = "{[(", "}])"
_TEXT = ("text", "textbf", "textit", "textrm", "textnormal", "texttt", "textsf", "mbox", "hbox")
_FONT = ("mathrm", "mathbf", "mathit", "mathsf", "boldsymbol", "bm", "rm", "operatorname", "emph")
_BOXES = ("boxed", "fbox", "framebox")
_WRAPPED = re.compile(r"\\(?:" + "|".join((*_TEXT, *_FONT, *_BOXES)) + r")\*?\s*\{", flags=re.ASCII)
_SPACES = re.compile(r"(?<!\\)\\[,;:!> ]|\\q?quad|\\(?:hspace|vspace)\{[^{}]{0,20}\}|~|\s")
_STYLE = re.compile(
    r"\\(?:left|right|big|Big|bigg|Bigg|bigl|bigr|Bigl|Bigr|displaystyle|textstyle|limits)"
    r"(?![A-Za-z])"
)
_RENAMED = (
    (re.compile(r"\\[dtc]frac(?![A-Za-z])"), r"\\frac"),
    (re.compile(r"\\(?:le|leqslant|leqq)(?![A-Za-z])"), r"\\leq"),
    (re.compile(r"\\(?:ge|geqslant|geqq)(?![A-Za-z])"), r"\\geq"),
    (re.compile(r"\\lt(?![A-Za-z])"), "<"),
    (re.compile(r"\\gt(?![A-Za-z])"), ">"),
    (re.compile(r"\\ne(?![A-Za-z])"), r"\\neq"),
    (re.compile(r"\\infin(?![A-Za-z])"), r"\\infty"),
    (re.compile(r"\\l(?:brace|vert)(?![A-Za-z])"), r"\\{"),
    (re.compile(r"\\rbrace(?![A-Za-z])"), r"\\}"),
    (re.compile(r"(?:\^\s*\{\s*\\circ\s*\}|\^\s*\\circ(?![A-Za-z])|\\degree(?![A-Za-z]))"), "°"),
)
_LITERAL = {
    "−": "-", "–": "-", "﹣": "-", "×": r"\times ", "·": r"\cdot ", "÷": "/", "≤": r"\leq ",
    "≥": r"\geq ", "≠": r"\neq ", "≈": r"\approx ", "∞": r"\infty ", "π": r"\pi ",
    "∪": r"\cup ", "∈": r"\in ", "±": r"\pm ", "½": r"\frac{1}{2}", "¼": r"\frac{1}{4}",
    "¾": r"\frac{3}{4}", "²": "^2", "³": "^3", "“": '"', "”": '"', "’": "'", "\u00a0": " ",
    "\u202f": " ", "\u2009": " ", "，": ",", "％": "%", "（": "(", "）": ")", "√": r"\sqrt ",
}  # fmt: skip
_LITERALS = str.maketrans(_LITERAL)
_GROUPING = re.compile(r"(?<=\d)\s?(?:\{\s?,\s?\}|\\,|\\!|\\ |,\\!|\{,\\!\})\s?(?=\d{3}(?!\d))")
_DELIMITERS = re.compile(r"(?<!\\)\\[\[\]()]")
_DOUBLED = re.compile(r"\\\\(?=[A-Za-z{}%$])")
"""Backslashes written twice, as in a JSON string."""
_MATRIX = re.compile(
    r"[\[(] ?\\begin\{array\}\{[clr| ]{1,20}\}(?P<rows>[^()\[\]]{1,2000})\\end\{array\} ?[\])]"
)
_MARK = "\x01"
r"""Stands where a text command was, so that `5\text{m}` is not read as a product."""


def closing(text: str, start: int) -> int:
    """The index of the bracket that closes the one at `start`; -1 where there is none.

    Braces escaped by a backslash do not count as group braces.
    """
    depth = 0
    i = start
    while i < len(text):
        char = text[i]
        if char == "\\":
            i += 2
            continue
        if char == "{":
            depth += 1
        elif char == "}":
            depth -= 1
            if depth == 0:
                return i
        i += 1
    return -1


def balanced(text: str) -> bool:
    """Whether group braces match and nothing is nested more deeply than `DEEPEST`."""
    depth = nested = 0
    i = 0
    while i < len(text):
        char = text[i]
        if char == "\\":
            i += 2
            continue
        depth += (char == "{") - (char == "}")
        nested = nested + 1 if char in _OPEN else max(0, nested - (char in _CLOSE))
        if depth < 0 or nested > DEEPEST:
            return False
        i += 1
    return depth == 0


def unwrapped(text: str) -> str:
    """Without text, font and box commands; their contents stay, text between marks."""
    out: list[str] = []
    at = 0
    for match in _WRAPPED.finditer(text):
        if match.start() < at:
            continue
        end = closing(text, match.end() - 1)
        if end < 0:
            break
        inner = unwrapped(text[match.end() : end])
        out.append(text[at : match.start()])
        out.append(f"{_MARK}{inner}{_MARK}" if _is_text(match.group()) else inner)
        at = end + 1
    out.append(text[at:])
    return "".join(out)


def _is_text(command: str) -> bool:
    return command.lstrip("\\").rstrip("{ *") in _TEXT


def cleaned(answer: str) -> str | None:
    r"""The answer without delimiters, styling and spacing commands; `None` where it is malformed.

    >>> cleaned(r"$\boxed{\dfrac{1}{2}}.$")
    '\\frac{1}{2}'
    """
    if len(answer) > LONGEST:
        return None
    text = answer.strip().translate(_LITERALS)
    text = text.replace('\\"', '"')
    if "\\begin" not in text:
        text = _DOUBLED.sub(r"\\", text)
    text = _DELIMITERS.sub("", text).strip("`* \n\t")
    if not balanced(text):
        return None
    text = unwrapped(text)
    text = _GROUPING.sub("", text)
    text = _STYLE.sub("", text)
    for pattern, new in _RENAMED:
        text = pattern.sub(new, text)
    text = _SPACES.sub(" ", text)
    text = re.sub(r" {2,}", " ", text).strip()
    if "\\begin" in text:
        text = text.replace("{bmatrix}", "{pmatrix}")
        text = _MATRIX.sub(r"\\begin{pmatrix}\g<rows>\\end{pmatrix}", text)
    return _trimmed(text) or None


def _trimmed(text: str) -> str:
    """Without the full stop, dollars and quotes around it."""
    before = None
    while before != text:
        before = text
        text = text.strip()
        if text.endswith((".", ",", ";")) and not text.endswith("\\;"):
            text = text[:-1]
        if len(text) > 1 and text[0] == text[-1] and text[0] in "$\"'`*":
            text = text[1:-1]
        if text.startswith("{") and closing(text, 0) == len(text) - 1 and "," not in text:
            text = text[1:-1]
        if text.startswith(_MARK) and text.endswith(_MARK) and text.count(_MARK) == 2:
            text = text[1:-1]
    return text


def split_top(text: str, separators: str) -> list[str]:
    """Split at the separators that stand outside every bracket.

    >>> split_top("(1,2),3", ",")
    ['(1,2)', '3']
    """
    parts: list[str] = []
    depth = start = i = 0
    while i < len(text):
        char = text[i]
        if char == "\\":
            depth += (text[i + 1 : i + 2] == "{") - (text[i + 1 : i + 2] == "}")
            i += 2
            continue
        if char in _OPEN:
            depth += 1
        elif char in _CLOSE:
            depth = max(0, depth - 1)
        elif char in separators and depth == 0:
            parts.append(text[start:i])
            start = i + 1
        i += 1
    parts.append(text[start:])
    return parts


def enclosed(text: str) -> bool:
    """Whether the first bracket closes at the very end; `(1,2],` and `[0,1)` count as pairs."""
    depth = i = 0
    while i < len(text):
        char = text[i]
        if char == "\\":
            depth += (text[i + 1 : i + 2] == "{") - (text[i + 1 : i + 2] == "}")
            i += 2
        else:
            depth += (char in _OPEN) - (char in _CLOSE)
            i += 1
        if depth == 0:
            return i == len(text)
    return False


def plain(text: str) -> str:
    """One spelling of undecided LaTeX: marks and needless spaces gone."""
    text = text.replace(_MARK, " ")
    text = re.sub(r"(?<![A-Za-z0-9]) | (?![A-Za-z0-9])", "", text)
    return text.strip()

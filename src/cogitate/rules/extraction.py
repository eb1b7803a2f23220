"""Finds the answer that a text states; what states none, or was cut, abstains."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence

from .canonical import read
from .canonical_forms import Group, spell
from .canonical_tex import closing

LONGEST = 2_000_000
"""Texts of more characters abstain."""
_TAIL = 60_000
"""Statements of an answer are looked for in so many last characters."""
_FRAGMENT = 600
_JSON_TRIES = 256
_STATEMENTS = 40
"""So many last statements of each sort are read."""
_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{")
_PERCENT_AFTER = re.compile(r"\s?(?:\\\)|\$)?\s?(?:\\?%|percent\b|pct\b)")
_BETWEEN = re.compile(r"\\q?quad|\\text\s*\{|\\[()\[\]]|[$}\s]+")
_HASHES = re.compile(r"####[ \t]*([^\n#]{1,300})")
_HEADING = re.compile(r"\W*\d+[.):]\s+\W*[A-Za-z]|\W*[A-Za-z]+ \d+:")
_PHRASE = re.compile(
    r"\b(?:answer|result|solution)s?\b(?:[ \t]+(?:to|of|for)\b[^.:\n]{0,60}?)?(?:\*\*|__)?[ \t]*"
    r"(?:(?::|=|\bis\b|\bare\b|\bequals\b|\bwould be\b|\bwill be\b|\bmust be\b)(?:\*\*|__)?[ \t]*:?|"
    r"(?=\n))\s{0,4}(?=(?P<value>[^\n]{1,600}))",
    re.IGNORECASE,
)
_FINAL = re.compile(
    r"\bfinal answer\b(?:\*\*)?[ \t]*(?::|=|\bis\b)(?:\*\*)?\s{0,4}(?=(?P<value>[^\n]{1,600}))",
    re.IGNORECASE,
)
_ANSWER = re.compile(r"answer", re.IGNORECASE)
_NEGATED = re.compile(
    r"\W*(?:\w+ ){0,2}(?:not|never|neither|cannot|can't|unknown|unclear)\b", re.IGNORECASE
)
_DENIED = re.compile(
    r"(?:\bnot|n't|\bnever|\bneither)(?: (?:be|equal|equals|to|just|only|simply)\b){0,3}"
    r"[\s$*(\\]{0,6}[-+]?[\d.,/]*\d%?",
    re.IGNORECASE,
)
_UNEQUAL = re.compile(r"(?:\\neq?\b|≠|!=)[\s$*(\\]{0,6}[-+]?[\d.,/]*\d%?")
_ENDED = re.compile(
    r"(?<=[^\d\s])\.(?=\s|$)|(?<=\d)\.(?=\s|$)|[;!](?=\s|$)|,? (?:because|since|which|but|not|instead|hence|so|as)\b"
    r"|, (?:not|i\.e|that)\b"
)
_DIGITS = r"(?:\d{1,3}(?:(?:,|\{,\}|\\,)\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+"
_FRACTION = r"\\[dt]?frac\s?\{\s?-?\d{1,20}\s?\}\s?\{\s?\d{1,20}\s?\}"
_NUMBER = re.compile(
    rf"(?<![\w.])(?:[-−+](?=[\d.\\$]))?\s?(?:\\?\$)?(?:{_FRACTION}|(?:{_DIGITS})(?:[eE][-+]?\d{{1,9}})?"
    rf"(?:\s?/\s?\d+(?:\.\d+)?)?)(?:\s?\\?%)?(?![\d])"
)
_EITHER = re.compile(r"\d[\s$]*\b(?:or|and)\b[\s$]*\d")
_SPAN = re.compile(
    r"\$\$([^$]{1,600})\$\$|(?<!\\)\$((?:\\\$|[^$\n]){1,600}?)(?<!\\)\$|\\\[(.{1,600}?)\\\]|\\\((.{1,600}?)\\\)",
    re.DOTALL,
)
_LETTER = re.compile(
    r"\W{0,6}(?:(?:option|choice|answer)\s+)?(?:\\text\s*\{\s*)?"
    r"(?:[(\[]\s?(?P<a>[A-Za-z])\s?[)\]]|(?P<b>[A-Z])(?=[^\w ]|$)|(?P<c>[B-HJ-Z])(?= )|(?P<d>[a-z])(?=[).:]|$))"
)
_JOINED = re.compile(r"\\[A-Za-z]+|\b(?:and|or)\b")
_BRACKETED = re.compile(r"(?<!\w)[(\[]([A-Za-z])[)\]](?!\w)")
_FENCE = re.compile(r"^[ \t]*(`{3,}|~{3,})[ \t]*([\w+#.-]*)[^\n]*$", re.MULTILINE)
_NOT_CODE = frozenset({"output", "text", "txt", "console", "stdout", "log"})


def extract(
    text: str,
    kind: str,
    *,
    complete: bool = True,
    options: Sequence[str] = (),
    guess: bool = False,
) -> str | None:
    r"""The answer stated in a text, or `None` where it states none.

    In this order: a "final answer is x" behind the last box, the last box, the last `#### x`, the last "the answer is x" or "Answer: x", a text that
    is nothing but an answer. A statement that is denied ("the answer is not 5") is none.

    >>> extract(r"So we get \boxed{\frac{1}{2}}.", "math")
    '\\frac{1}{2}'
    >>> extract("The answer is not 5.", "number"), extract("3 + 4 = 7, I think", "number", guess=True)
    (None, '7')

    Args:
        text: what the model wrote.
        kind: one of `math`, `number`, `choice`, `text`, `json`, `code`.
        complete: false where it was cut; what is cut states no answer.
        options: for `choice`: the labels that may be chosen; without them, any letter.
        guess: whether the last number (kind `number`) or the last formula (kind `math`) may stand for an
            answer that is never stated. Off by default: a text that states no answer should not vote.
    """
    if not complete or len(text) > LONGEST:
        return None
    text = _after_thinking(text)
    whole: dict[str, Callable[[str], str | None]] = {"text": _text, "json": _json, "code": _code}
    if kind in whole:
        return whole[kind](text)
    tail = text[-_TAIL:]
    read_as: Callable[[str], str | None] = _math
    if kind == "number":
        read_as = _number
    elif kind == "choice":
        read_as = lambda fragment: _choice(fragment, options)  # noqa: E731
    found = _stated(tail, kind, read_as) or _alone(tail, kind, options)
    if found is None and guess:
        found = _guessed(tail, kind)
    return found


def _after_thinking(text: str) -> str:
    _, closed, rest = text.rpartition("</think>")
    return rest if closed and rest.strip() else text


def _stated(text: str, kind: str, read_as: Callable[[str], str | None]) -> str | None:
    at, boxed = _boxed(text, joined=kind == "math")
    for match in reversed(list(_FINAL.finditer(text, at))[-_STATEMENTS:]):
        found = None if _NEGATED.match(match["value"]) else read_as(_sentence(match["value"]))
        if found is not None and (boxed is None or "box" not in match["value"]):
            return found
    if boxed is not None:
        found = read_as(boxed)
        if found is not None or kind != "choice":
            return found
    for match in reversed(list(_HASHES.finditer(text))[-_STATEMENTS:]):
        payload = match[1].strip().strip("*_ \t")
        if not _HEADING.match(payload) and (found := _hashed(payload, kind, read_as)) is not None:
            return found
    for match in reversed(list(_PHRASE.finditer(text))[-_STATEMENTS:]):
        value = match["value"]
        if _NEGATED.match(value) or not _ANSWER.match(match.group()):
            continue
        found = read_as(_sentence(value))
        if found is not None:
            return found
    return None


def _hashed(payload: str, kind: str, read_as: Callable[[str], str | None]) -> str | None:
    """The answer behind `####`, which in Markdown may also be a heading."""
    if kind == "choice":
        return read_as(payload)
    if kind == "number" and not re.match(r"[^A-Za-z]{0,12}\d|\\[dt]?frac|-?\\\(|\$", payload):
        return None
    prose = re.findall(r"(?<![\\A-Za-z])[A-Za-z]{3,}", payload)
    if len(prose) > 3 or payload.endswith(":"):
        return None
    return read_as(payload)


def _boxed(text: str, *, joined: bool) -> tuple[int, str | None]:
    """Where the last closed box ends, and the content of the last closed box; with `joined`, of the boxes that stand beside it too."""
    boxes: list[tuple[int, int, str]] = []
    for match in _BOX.finditer(text):
        if boxes and match.start() < boxes[-1][1]:
            continue
        end = closing(text, match.end() - 1)
        if end < 0:
            break
        content = text[match.end() : end].strip()
        if _PERCENT_AFTER.match(text, end + 1):
            content += "\\%"
        boxes.append((match.start(), end + 1, content))
    if not boxes:
        return 0, None
    group = [boxes[-1][2]]
    after = boxes[-1][0]
    for start, end, content in reversed(boxes[:-1] if joined else []):
        if after - end > 40 or not _beside(text[end:after]):
            break
        after = start
        group.insert(0, content)
    return boxes[-1][1], ", ".join(dict.fromkeys(group))


def _beside(gap: str) -> bool:
    """Whether what stands between two boxes joins them: a comma, or a few words that end in "and"."""
    if "\n\n" in gap:
        return False
    bare = _BETWEEN.sub(" ", gap)
    bare = re.sub(r"\w+ *= *$", "", bare).strip()
    said = bare.strip(" ,;").split()
    return not said if len(bare) < 3 else len(said) <= 4 and said[-1] in ("and", "or")


def _sentence(value: str) -> str:
    """The start of a line, up to the end of its sentence or a reason."""
    match = _ENDED.search(value)
    return (value[: match.start()] if match else value).strip()


def _math(fragment: str) -> str | None:
    """A mathematical answer; of prose with formulas, the last formula."""
    fragment = fragment[:_FRAGMENT].strip().strip("*_").rstrip(".,;: ").strip()
    if len(re.findall(r"(?<![\\A-Za-z])[A-Za-z]{2,}", fragment)) > 2:
        said = re.split(r"\b(?:is|are|equals)\b:?(?=[\s$\\])", fragment)
        if len(said) > 1 and re.search(r"\d|\$|\\", said[-1]):
            fragment = said[-1].strip()
    spans = list(_SPAN.finditer(fragment))
    if spans and not _is_whole(fragment):
        inner = next(group for group in spans[-1].groups() if group is not None)
        outside = _SPAN.sub(" ", fragment)
        if len(spans) == 1 and not re.search(r"\d|\\%|%", outside):
            return inner.strip() or None
    if re.match(r"(?:that|as follows|given|found|obtained|correct|wrong)\b", fragment):
        return None
    return fragment or None


def _is_whole(fragment: str) -> bool:
    match = _SPAN.match(fragment)
    return match is not None and match.end() == len(fragment)


def _number(fragment: str) -> str | None:
    """A number without its unit; of a calculation, what follows the last equals sign."""
    fragment = fragment[:_FRAGMENT].strip().strip("*_").rstrip(".,;: ").strip()
    form = read(fragment, "number")
    if form is not None:
        if isinstance(form, Group):
            return spell(form.parts[0])
        as_written = _NUMBER.fullmatch(fragment.strip("$ ")) or re.search(
            r"%|percent|pct", fragment
        )
        return fragment.strip("$ ") if as_written else spell(form)
    _, equals, last = fragment.rpartition("=")
    for part in (last, fragment) if equals else (fragment,):
        if _EITHER.search(part):
            return None
        found = _NUMBER.search(part)
        if found is not None:
            return found.group().replace(" ", "").replace("$", "").replace("\\%", "%")
    return None


def _choice(fragment: str, options: Sequence[str]) -> str | None:
    """A letter at the start of a fragment, or one of the options in full."""
    by_name = {option.casefold(): option for option in options}
    bare = re.sub(r"\\text\s*\{([^{}]*)\}", r"\1", fragment).strip(" *_$.`\"'\\()")
    if bare.casefold() in by_name:
        return by_name[bare.casefold()]
    match = _LETTER.match(fragment)
    if match:
        letter = next(group for group in match.groups() if group is not None)
        if not options:
            return letter.upper()
        if letter.casefold() in by_name:
            return by_name[letter.casefold()]
    longer = [o for o in options if len(o) > 1]
    named = [o for o in longer if re.match(rf"\W*{re.escape(o)}\b", fragment, re.IGNORECASE)]
    return named[0] if len(named) == 1 else None


def _alone(text: str, kind: str, options: Sequence[str]) -> str | None:
    """The answer of a text that is nothing else; for choices, the only one in brackets."""
    bare = text.strip()
    if kind == "choice":
        if len(bare) < 200 and (found := _choice(bare, options)) is not None and "\n" not in bare:
            return found
        allowed = {option.casefold() for option in options}
        seen = {m.casefold() for m in _BRACKETED.findall(text)}
        seen = seen & allowed if options else seen
        return _choice(f"({seen.pop()})", options) if len(seen) == 1 else None
    if not bare or len(bare) > 200 or "\n" in bare:
        return None
    form = read(bare, kind)
    if form is None or re.search(r"[A-Za-z]{3,}", _JOINED.sub("", bare)):
        return None
    return _number(bare) if kind == "number" else bare


def _guessed(text: str, kind: str) -> str | None:
    """The last number or formula that is not denied."""
    text = _DENIED.sub(" ", text)
    if kind == "number":
        text = _UNEQUAL.sub(" ", text)
    numbers = list(_NUMBER.finditer(text))
    spans = list(_SPAN.finditer(text)) if kind == "math" else []
    if spans and (not numbers or numbers[-1].end() <= spans[-1].end()):
        return next(group for group in spans[-1].groups() if group is not None).strip() or None
    if kind not in ("math", "number") or not numbers:
        return None
    return numbers[-1].group().replace(" ", "").replace("$", "") or None


def _text(text: str) -> str | None:
    return text.strip() or None


def _code(text: str) -> str | None:
    """The last fenced block of code; without fences, the whole text."""
    blocks: list[tuple[str, str]] = []
    opened: re.Match[str] | None = None
    for match in _FENCE.finditer(text):
        if opened is None:
            opened = match
        elif match[1][0] == opened[1][0] and len(match[1]) >= len(opened[1]) and not match[2]:
            blocks.append((opened[2].lower(), text[opened.end() : match.start()]))
            opened = None
    if opened is not None:
        blocks.append((opened[2].lower(), text[opened.end() :]))
    code = [body.strip("\n") for name, body in blocks if name not in _NOT_CODE and body.strip()]
    if blocks:
        return code[-1] if code else None
    return text.strip("\n") or None if text.strip() else None


def _json(text: str) -> str | None:
    """The last JSON object or array that is not part of another."""
    decoder = json.JSONDecoder()
    found: str | None = None
    at = tries = 0
    while tries < _JSON_TRIES:
        starts = [i for i in (text.find("{", at), text.find("[", at)) if i >= 0]
        if not starts:
            break
        at = min(starts)
        try:
            _, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            at, tries = at + 1, tries + 1
        else:
            found, at = text[at:end], end
    return found

"""One HTML file that needs nothing else: style, script and data are in it, and nothing may be fetched."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from .marking import escaped

_HERE: Final = Path(__file__).parent


def page(title: str, body: Iterable[str], data: Iterable[str]) -> Iterator[str]:
    """The parts of the file, in order.

    Only this style and this script may run: the page names their hashes, so that text which slipped through
    as markup would still do nothing.

    Args:
        title: of the page.
        body: HTML.
        data: JSON in parts, made by `in_script`; empty for none.
    """
    style, script = _own("report.css"), _own("report.js")
    policy = (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    yield (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{escaped(title)}</title>\n<style>{style}</style>\n</head>\n<body>\n"
    )
    for part in body:
        yield part + "\n"
    held = False
    for part in data:
        if not held:
            yield '<script type="application/json" id="bench-data">'
            held = True
        yield part
    if held:
        yield "</script>\n"
    yield f"<script>{script}</script>\n</body>\n</html>\n"


def _own(name: str) -> str:
    return (_HERE / name).read_text("utf-8")


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"

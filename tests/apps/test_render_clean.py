from __future__ import annotations

import io
import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from cogitate.apps.render import cleaned, in_ascii, one_line, safe_text

HOSTILE = {
    "colour": ("\x1b[31mred\x1b[0m", "red"),
    "clear screen": ("a\x1b[2J\x1b[Hb", "ab"),
    "title": ("a\x1b]0;owned\x07b", "ab"),
    "title ended by ST": ("a\x1b]2;owned\x1b\\b", "ab"),
    "clipboard": ("a\x1b]52;c;Zm9v\x07b", "ab"),
    "link": ("\x1b]8;;http://x\x1b\\here\x1b]8;;\x1b\\", "here"),
    "device string": ("a\x1bPq#0\x1b\\b", "ab"),
    "8-bit controls": ("a\x9b31mb\x9d0;t\x9cc", "abc"),
    "unfinished": ("a\x1b]0;never ended", "a0;never ended"),
    "lone escape": ("a\x1b", "a"),
    "reset": ("a\x1bcb", "ab"),
    "charset": ("a\x1b(0b", "ab"),
    "bell and backspace": ("a\x07\x08b\x7f", "ab"),
    "carriage return": ("good\rbad", "good bad"),
    "right to left": ("a\u202eb\u2066c", "abc"),
    "zero width": ("a\u200bb\ufeffc", "abc"),
    "surrogate": ("a\ud800b", "ab"),
    "private use": ("a\ue000b", "ab"),
    "nul": ("a\x00b", "ab"),
    "line separators": ("a\u2028b\x85c\x0bd", "a b c d"),
    "stacked marks": ("e" + "\u0301" * 50, "e" + "\u0301" * 3),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_steers_a_terminal_is_dropped(name: str) -> None:
    given_text, wanted = HOSTILE[name]
    assert cleaned(given_text) == wanted


@given(st.text(max_size=300))
def test_nothing_unseen_is_left(text: str) -> None:
    for character in cleaned(text):
        assert unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


@given(st.text(max_size=200), st.integers(0, 80), st.booleans())
def test_one_line_is_one_line_of_bounded_width(text: str, width: int, ascii_only: bool) -> None:
    shown = one_line(text, width, ascii_only=ascii_only)
    assert len(shown) <= width
    assert "\n" not in shown
    assert shown.isascii() or not ascii_only


@given(st.text(max_size=200))
def test_ascii_is_ascii(text: str) -> None:
    assert in_ascii(text).isascii()


def test_ordinary_text_is_kept() -> None:
    text = "Größe: 7 × 8 = 56 → «ok» 数学 🙂"
    assert cleaned(text) == text
    assert cleaned("a\n\tb", lines=True) == "a\n b"


def test_the_end_of_a_long_text_is_shown() -> None:
    shown = one_line("start " + "x" * 500_000 + " #### 42", 40)
    assert shown.startswith("start xx")
    assert shown.endswith("#### 42")


def test_hostile_length_costs_little() -> None:
    start = time.perf_counter()
    for text in ("\x1b]" * 300_000, "\x1b[" + "0" * 600_000, "\x1bP" * 300_000, "\x9d" * 600_000):
        one_line(text, 80)
        cleaned(text)
    assert time.perf_counter() - start < 5  # a quadratic pattern takes minutes


def test_markup_is_shown_and_not_read() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, color_system="standard", width=60)
    console.print(safe_text("[red]x[/red] [link=http://a]b[/link] :smile: [/]"))
    assert out.getvalue() == "[red]x[/red] [link=http://a]b[/link] :smile: [/]\n"

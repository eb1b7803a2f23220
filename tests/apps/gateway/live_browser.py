"""A headless browser that is installed here, and a page that tells what goes wrong in it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")


def executable() -> str:
    """The browser's program; skips where there is none."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no browser of {', '.join(NAMES)} is installed")
    return found


@contextmanager
def launched() -> Generator[Any]:
    """A browser."""
    sync_api = pytest.importorskip("playwright.sync_api")
    program = executable()
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


class Troubles(list[str]):
    """What a page complained of."""

    def watch(self, page: Any) -> None:
        page.on("pageerror", lambda error: self.append(f"script: {error}"))
        page.on("dialog", lambda dialog: (self.append("dialog"), dialog.dismiss()))
        page.on(
            "console",
            lambda said: self.append(said.text) if said.type in ("error", "warning") else None,
        )
        page.on(
            "request",
            lambda asked: None if asked.url.startswith(("http://127.0.0.1:", "data:"))
            else self.append(f"outside: {asked.url}"),
        )  # fmt: skip


def until(page: Any, holds: str, wait_s: float = 20.0) -> None:
    """Wait until an expression holds; the page's policy forbids what playwright does for this."""
    end = time.monotonic() + wait_s
    while not page.evaluate(holds):
        assert time.monotonic() < end, f"it never held: {holds}"
        time.sleep(0.02)


@contextmanager
def paged(
    browser: Any, url: str, *, width: int = 1280, height: int = 800, theme: str = "light"
) -> Generator[tuple[Any, Troubles]]:
    """A page of a size and theme, and its troubles."""
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=theme, reduced_motion="reduce"
    )
    context.set_default_timeout(20_000)
    page, troubles = context.new_page(), Troubles()
    troubles.watch(page)
    page.goto(url)
    yield page, troubles
    context.close()

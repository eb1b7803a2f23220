"""Take the pictures of a report in `docs/images`: `python docs/make_bench_screenshots.py [RUN]`.

Needs the extra `test`, and Chromium. Without a run folder the example in `docs/examples` is run, with a tenth of its
problems, in a folder that is thrown away: a simulated world and a recorded pool, so that nothing is downloaded.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Browser, Page, sync_playwright

from cogitate.apps.cli import main
from cogitate.bench.report import report_folder

IMAGES: Final = Path(__file__).parent / "images"
BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome")
LARGEST: Final = 200_000
"""Bytes of a picture."""
EXAMPLE: Final = Path(__file__).parent / "examples" / "bench.toml"
PROBLEMS: Final = ("problems=1000", "problems=100")
"""What the example asks, and what is enough for a picture."""

Step = Callable[[Page], Any]


def nothing(page: Page) -> None:
    """The report from its top."""


def at_the_task(page: Page) -> None:
    """The curves of the first task."""
    page.locator("#task-0").evaluate("e => e.scrollIntoView()")


def over_tokens(page: Page) -> None:
    """The accuracy over tokens, with a point told."""
    at_the_task(page)
    page.locator("fieldset.views").first.locator("label").nth(1).click()
    chart = page.locator("fieldset.views").first.locator(".view:visible svg.wide")
    chart.locator(".mark").nth(3).hover()


def a_question(page: Page) -> None:
    """The page of a question that divides the strategies, at its tree."""
    page.locator("#question-list a").nth(2).click()
    page.locator("#which-tree").select_option(index=3)


def at_the_frontier(page: Page) -> None:
    """What is worth its cost."""
    page.get_by_role("heading", name="What is worth its cost").first.evaluate(
        "e => e.scrollIntoView()"
    )


PICTURES: Final[tuple[tuple[str, int, int, str, Step], ...]] = (
    ("report", 1280, 800, "light", nothing),
    ("tokens", 1280, 640, "dark", over_tokens),
    ("frontier", 1280, 760, "light", at_the_frontier),
    ("question", 1280, 900, "light", a_question),
    ("phone", 390, 844, "dark", at_the_task),
)


def take(browser: Browser, report: Path, folder: Path) -> None:
    """All pictures."""
    for name, width, height, scheme, step in PICTURES:
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,  # pyright: ignore[reportArgumentType]
        )
        page = context.new_page()
        page.goto(report.as_uri())
        step(page)
        path = folder / f"bench-{name}.png"
        page.screenshot(path=path)
        context.close()
        if path.stat().st_size > LARGEST:
            sys.exit(
                f"{path.name} has {path.stat().st_size:,} bytes; at most {LARGEST:,} are wanted"
            )
        print(path.name, f"{path.stat().st_size:,} bytes")


def made(work: Path) -> Path:
    """The example, with fewer problems."""
    grid, run = work / "grid.toml", work / "run"
    grid.write_text(EXAMPLE.read_text("utf-8").replace(*PROBLEMS), "utf-8")
    if main(["bench", "run", str(grid), "--out", str(run), "--no-report"]):
        sys.exit("the run did not end")
    return run


def show(run: Path, work: Path) -> None:
    """Write the report of a run and take its pictures."""
    found = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if found is None:
        sys.exit("Chromium is needed to take pictures; install it, or put it on the PATH")
    report, _ = report_folder(run, work)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=["--no-sandbox"])
        take(browser, report, IMAGES)
        browser.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        show(Path(sys.argv[1]) if len(sys.argv) > 1 else made(Path(folder)), Path(folder))

"""Take the pictures of the live view in `docs/images`: `python docs/make_live_screenshots.py [FOLDER]`.

Needs the extras `gateway` and `test`, and Chromium. The runs are simulated: nothing is downloaded.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from cogitate import Budget, solve
from cogitate.apps.gateway.live import Hub, Loopback
from cogitate.testing import simulated_tasks

IMAGES = Path(__file__).parent / "images"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SIZES = {"desktop": (1280, 800), "phone": (390, 844)}
TASKS = [task for task, _ in simulated_tasks(8, seed=11, difficulty=6)]
SLOW = "sim:arithmetic(skill=0.45, latency_s={})"
FAILING = "sim:chain(failures=0.12)"


def watch(
    hub: Hub, number: int, strategy: str, model: str, budget: Budget, **more: Any
) -> None:
    """One request as a gateway would run it."""
    task = TASKS[number]
    watched = hub.begin(
        f"req-{number:04d}", title=task.question, strategy=strategy, model=model, budget=budget, key="team-a"
    )
    result = solve(
        task, model=model, strategy=strategy, budget=budget, seed=number, listen=watched, **more
    )
    watched.end(result.answer or "", stopped=result.stopped)


def picture(browser: Browser, url: str, folder: Path, name: str, size: str, theme: str, then: Any) -> None:
    width, height = SIZES[size]
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=theme,  # pyright: ignore[reportArgumentType]
        device_scale_factor=1 if size == "desktop" else 2,
        has_touch=size == "phone",
    )
    page = context.new_page()
    page.goto(url)
    then(page)
    page.wait_for_timeout(400)
    page.screenshot(path=folder / f"live-{name}-{size}-{theme}.png")
    context.close()


def read_tree(page: Page) -> None:
    page.wait_for_selector(".node[data-state=chosen], .node[data-state=cut]")
    page.keyboard.press("b")


def read_refused(page: Page) -> None:
    page.wait_for_selector(".node")
    page.keyboard.press("r")


def open_list(page: Page) -> None:
    page.wait_for_selector(".entry")


def on(part: str) -> Any:
    def then(page: Page) -> None:
        read_tree(page)
        page.click(f".tabs [data-part={part}]")

    return then


def running(page: Page) -> None:
    page.wait_for_selector(".node")
    page.wait_for_timeout(2500)


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else IMAGES
    folder.mkdir(parents=True, exist_ok=True)
    executable = next(path for name in BROWSERS if (path := shutil.which(name)))
    hub = Hub()
    with tempfile.TemporaryDirectory() as shelf, sync_playwright() as play:
        watch(hub, 0, "self_consistency(n=16)", SLOW.format(0), Budget(tokens_out=4096))
        watch(hub, 1, "best_of(n=12)", SLOW.format(0), Budget(calls=18))
        watch(
            hub, 2, "beam_search(width=4, branch=4)", SLOW.format(0), Budget(tokens_out=1500, calls=140),
            journal=Path(shelf) / "beam.jsonl",
        )  # fmt: skip
        slow = threading.Thread(
            target=watch,
            args=(hub, 3, "mcts(iterations=400)", SLOW.format(0.12), Budget(tokens_out=12_000)),
            daemon=True,
        )
        slow.start()
        browser = play.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        with Loopback(hub, Path(shelf)).beside() as url:
            for theme in ("light", "dark"):
                for size in SIZES:
                    picture(browser, f"{url}&r=req-0002", folder, "tree", size, theme, read_tree)
                picture(browser, f"{url}&r=req-0003", folder, "running", "desktop", theme, running)
                picture(browser, f"{url}&r=req-0002", folder, "refused", "desktop", theme, read_refused)
                picture(browser, f"{url}&r=req-0002", folder, "node", "phone", theme, on("node"))
                picture(browser, f"{url}&r=req-0002", folder, "spending", "phone", theme, on("spending"))
                picture(browser, url, folder, "runs", "phone", theme, open_list)
        browser.close()


if __name__ == "__main__":
    main()

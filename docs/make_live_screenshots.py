"""Take the pictures of the live view in `docs/images`: `python docs/make_live_screenshots.py [FOLDER]`.

Needs the extras `gateway` and `test`, and Chromium. The runs are simulated: nothing is downloaded.
"""

from __future__ import annotations

import shutil
import struct
import sys
import tempfile
import threading
import zlib
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from cogitate import Budget, solve
from cogitate.apps.gateway.live import Hub, Loopback
from cogitate.testing import simulated_tasks

IMAGES = Path(__file__).parent / "images"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SIZES = {"desktop": (1280, 720), "phone": (390, 844)}
TASKS = [task for task, _ in simulated_tasks(8, seed=11, difficulty=6)]
SLOW = "sim:arithmetic(skill=0.45, latency_s={})"


def watch(hub: Hub, number: int, strategy: str, model: str, budget: Budget, **more: Any) -> None:
    """One request as a gateway would run it."""
    task = TASKS[number]
    watched = hub.begin(
        f"req-{number:04d}",
        title=task.question,
        strategy=strategy,
        model=model,
        budget=budget,
        key="team-a",
    )
    result = solve(
        task, model=model, strategy=strategy, budget=budget, seed=number, listen=watched, **more
    )
    watched.end(result.answer or "", stopped=result.stopped)


def picture(
    browser: Browser, url: str, folder: Path, name: str, size: str, theme: str, then: Any
) -> None:
    """Open the page, do something with it, and keep what it looks like."""
    width, height = SIZES[size]
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=theme,  # pyright: ignore[reportArgumentType]
        device_scale_factor=1 if size == "desktop" else 1.5,
        has_touch=size == "phone",
    )
    page = context.new_page()
    page.goto(url)
    then(page)
    page.wait_for_timeout(400)
    raw = page.screenshot()
    (folder / f"live-{name}-{size}-{theme}.png").write_bytes(packed(raw))
    context.close()


def packed(png: bytes) -> bytes:
    """The same picture in fewer bytes: flat colours pack best unfiltered."""
    chunks: list[tuple[bytes, bytes]] = []
    at = 8
    while at < len(png):
        size = int.from_bytes(png[at : at + 4])
        chunks.append((png[at + 4 : at + 8], png[at + 8 : at + 8 + size]))
        at += 12 + size
    width, height = struct.unpack(">II", chunks[0][1][:8])
    step = {2: 3, 6: 4}[chunks[0][1][9]]
    data = zlib.decompress(b"".join(held for kind, held in chunks if kind == b"IDAT"))
    out, above = bytearray(), bytes(width * step)
    for y in range(height):
        start = y * (width * step + 1)
        above = unfiltered(data[start], data[start + 1 : start + 1 + width * step], above, step)
        out += b"\0" + above
    held = [chunks[0], (b"IDAT", zlib.compress(out, 9)), (b"IEND", b"")]
    return png[:8] + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in held
    )


def unfiltered(kind: int, line: bytes, above: bytes, step: int) -> bytes:
    """One line of a picture without its filter."""
    row = bytearray(line)
    for i in range(len(row) if kind else 0):
        left = row[i - step] if i >= step else 0
        up, corner = above[i], above[i - step] if i >= step else 0
        if kind == 4:
            guess = left + up - corner
            add = min((left, up, corner), key=lambda near: abs(guess - near))
        else:
            add = (0, left, up, (left + up) // 2)[kind]
        row[i] = (row[i] + add) & 255
    return bytes(row)


def read_tree(page: Page) -> None:
    """Go to the best node."""
    page.wait_for_selector(".node[data-state=chosen], .node[data-state=cut]")
    page.keyboard.press("b")


def read_refused(page: Page) -> None:
    """Go to a node that the budget refused."""
    page.wait_for_selector(".node")
    page.keyboard.press("r")


def open_list(page: Page) -> None:
    """Stay at the list."""
    page.wait_for_selector(".entry")


def on(part: str) -> Any:
    """Read the best node in a part of the narrow page."""

    def then(page: Page) -> None:
        read_tree(page)
        page.click(f".tabs [data-part={part}]")

    return then


def running(page: Page) -> None:
    """Let the tree grow a while."""
    page.wait_for_selector(".node")
    page.wait_for_timeout(2500)


def main() -> None:
    """Take them all."""
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
        browser = play.chromium.launch(
            executable_path=executable, args=["--no-sandbox", "--disable-lcd-text"]
        )
        with Loopback(hub, Path(shelf)).beside() as url:
            beam, tree = f"{url}&r=req-0002", f"{url}&r=req-0003"
            for theme in ("light", "dark"):
                for size in SIZES:
                    picture(browser, beam, folder, "tree", size, theme, read_tree)
            picture(browser, tree, folder, "running", "desktop", "dark", running)
            picture(browser, beam, folder, "refused", "desktop", "light", read_refused)
            picture(browser, beam, folder, "node", "phone", "light", on("node"))
            picture(browser, beam, folder, "spending", "phone", "dark", on("spending"))
            picture(browser, url, folder, "runs", "phone", "light", open_list)
        browser.close()


if __name__ == "__main__":
    main()

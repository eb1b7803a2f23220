"""The report in a real browser: charts, pages of questions, phone width, keyboard, policy."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from report_harness import made_journals, made_pool, made_run, made_texts

from cogitate.bench.report import write

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("report")
    run = replace(made_run(hostile=True), pools=(made_pool(),))
    html, _ = write(run, folder, journals=made_journals, texts=made_texts)
    return html.as_uri()


@pytest.fixture
def page(browser: Any, report: str, request: pytest.FixtureRequest) -> Iterator[Any]:
    width, scheme = getattr(request, "param", (1280, "light"))
    context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)
    opened = context.new_page()
    opened.set_default_timeout(5000)
    complaints: list[str] = []
    asked: list[str] = []
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("request", lambda one: asked.append(one.url))
    opened.goto(report)
    yield opened
    assert complaints == []
    assert {url.partition("#")[0] for url in asked} == {report}
    assert opened.evaluate("window.hacked") is None
    context.close()


def wide(page: Any) -> int:
    return page.evaluate("document.documentElement.scrollWidth")


@pytest.mark.parametrize("page", [(390, "dark"), (390, "light"), (1280, "dark")], indirect=True)
def test_no_width_scrolls_the_page(page: Any) -> None:
    room = page.viewport_size["width"]
    assert wide(page) <= room
    page.locator("#question-list a").first.click()
    page.locator("#question h2").wait_for()
    assert wide(page) <= room
    page.evaluate(
        "document.querySelectorAll('#tree details').forEach((one) => { one.open = true; })"
    )
    assert wide(page) <= room
    page.evaluate("location.hash = '#/question/none/none'")
    page.get_by_text("This question is not in this report").wait_for()


@pytest.mark.parametrize("page", [(390, "light"), (1280, "light")], indirect=True)
def test_letters_are_large_enough_to_read(page: Any) -> None:
    sizes = page.evaluate(
        """() => [...document.querySelectorAll('svg.chart text')].filter((t) => t.getClientRects().length)
          .map((t) => parseFloat(getComputedStyle(t).fontSize) * t.ownerSVGElement.clientWidth
            / t.ownerSVGElement.viewBox.baseVal.width)"""
    )
    assert len(sizes) > 20
    assert min(sizes) >= 11


def test_labels_of_curves_are_inside_and_apart(page: Any) -> None:
    boxes = page.evaluate(
        """() => [...document.querySelectorAll('svg.chart')].filter((s) => s.getClientRects().length).map((s) => {
          const whole = s.getBoundingClientRect();
          return [...s.querySelectorAll('.label, .tick')].map((t) => t.getBoundingClientRect())
            .map((b) => [b.left - whole.left, b.top, b.right - whole.right, b.bottom]);
        })"""
    )
    assert len(boxes) >= 4
    for labels in boxes:
        assert all(left >= -1 and right <= 1 for left, _, right, _ in labels)
        for i, a in enumerate(labels):
            for b in labels[i + 1 :]:
                across = min(a[2], b[2]) > max(a[0], b[0] - 0) and a[0] == b[0]
                assert not (across and a[1] + 2 < b[3] and b[1] + 2 < a[3])


def test_the_axis_is_chosen_by_keyboard(page: Any) -> None:
    first = page.locator("fieldset.views").first
    assert first.locator(".view:visible").count() == 1
    assert (
        first.locator(".view:visible svg.wide title").text_content() == "Accuracy against samples"
    )
    first.locator("input").first.focus()
    page.keyboard.press("ArrowRight")
    assert first.locator(".view:visible").count() == 1
    assert first.locator(".view:visible svg.wide title").text_content() == "Accuracy against tokens"


def test_points_are_told_by_pointer_and_by_arrow_keys(page: Any) -> None:
    figure = page.locator("figure.plot").first
    chart = figure.locator("svg.wide")
    mark = chart.locator(".mark").nth(2)
    mark.hover()
    tip = figure.locator(".tip")
    assert tip.is_visible()
    assert "N = 4" in tip.text_content()
    page.mouse.move(0, 0)
    assert not tip.is_visible()
    chart.focus()
    page.keyboard.press("ArrowRight")
    first = tip.text_content()
    assert "N = 1" in first
    page.keyboard.press("ArrowRight")
    assert "N = 2" in tip.text_content()
    page.keyboard.press("ArrowUp")
    assert tip.text_content().splitlines()[0] != first.splitlines()[0]
    page.keyboard.press("Escape")
    assert not tip.is_visible()


def test_a_question_has_a_page_and_the_way_back(page: Any) -> None:
    link = page.locator("#question-list a").nth(1)
    name = link.text_content()
    link.focus()
    page.keyboard.press("Enter")
    heading = page.locator("#question h2")
    assert heading.text_content() == f"Question {name}"
    assert heading.evaluate("e => e === document.activeElement")
    assert not page.locator("#question-list").is_visible()
    assert page.locator("#question pre").first.text_content().startswith("What is ")
    assert (
        "</script><script>window.hacked = 1</script>"
        in page.locator("#question pre").first.text_content()
    )
    assert page.locator("#question tbody tr:not(.group)").count() == 8
    tree = page.locator("#tree")
    assert "first step </script>" in tree.text_content()
    assert "chosen" in tree.text_content()
    page.get_by_text("← All questions").first.click()
    page.locator("#question-list").wait_for(state="visible")
    page.go_back()
    heading.wait_for(state="visible")


def test_questions_are_found(page: Any) -> None:
    rows = page.locator("#question-list tbody tr")
    every = rows.count()
    page.locator("#only").select_option("every cell is right")
    shown = page.locator("#question-list tbody tr:visible").count()
    assert 0 < shown < every
    page.locator("#only").select_option("")
    page.locator("#find").fill("nothing like it")
    assert page.locator("#question-list tbody tr:visible").count() == 0
    assert page.locator("#shown").text_content().startswith("0 of")


def test_script_that_slipped_in_does_not_run(browser: Any, tmp_path: Path) -> None:
    html, _ = write(made_run(), tmp_path, texts=made_texts)
    text = html.read_text("utf-8")
    slipped = "<script>window.hacked = 3</script><img src='data:,' onerror='window.hacked = 4'>"
    html.write_text(text.replace('<main id="main">', f'{slipped}<main id="main">'), "utf-8")
    opened = browser.new_page()
    opened.goto(html.as_uri())
    assert opened.locator("#question-list").is_visible()
    assert opened.evaluate("window.hacked") is None
    opened.close()


def test_without_script_the_report_can_be_read(browser: Any, report: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    opened = context.new_page()
    opened.goto(report)
    first = opened.locator("fieldset.views").first
    first.locator("label").nth(1).click()
    assert first.locator(".view:visible svg.wide title").text_content() == "Accuracy against tokens"
    assert opened.locator("#question-list").is_visible()
    context.close()

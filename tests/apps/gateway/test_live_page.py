"""The page of the live view in a real browser: it grows, shows cuts, opens journals, and runs nobody's script."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("playwright")

from live_browser import launched, paged, until

from cogitate.apps.gateway.live import Hub, Loopback
from cogitate.assembly import solve, solve_many
from cogitate.core.errors import Failed, OutOfBudget
from cogitate.core.events import Answered, Event, Finished, Noted
from cogitate.core.prompt import Prompt
from cogitate.core.requests import Completion, Generate, Reply
from cogitate.core.usage import Budget, Usage
from cogitate.drive import FileJournal
from cogitate.lab.worlds import ChainWorld, chains
from cogitate.testing import simulated_tasks

NODES = ".gauge:nth-child(2) dd"

HOSTILE = (
    "<script>window.hit=1</script>",
    "<img src=x onerror=window.hit=1>",
    '"><svg onload=window.hit=1>',
    "javascript:window.hit=1",
    "'});window.hit=1;//",
    "</pre></bdi></script><iframe srcdoc='<script>parent.hit=1</script>'>",
    "\x1b[31mred\x1b]0;owned\x07\x9b31m",
    "\u202eevil\u2066\u200b\ufeff\u0000",
    "\ud800 half \udfff",
    "{{constructor.constructor('window.hit=1')()}}",
    "<style>*{display:none}</style><link rel=stylesheet href=http://evil.test/x.css>",
    "<base href=http://evil.test/>" + "&lt;b&gt;",
    "A" * 30_000 + "<b onclick=window.hit=1>",
    "é" * 200 + "\u0301" * 400,
)


@pytest.fixture(scope="module")
def browser() -> Generator[Any]:
    with launched() as found:
        yield found


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("journals")


@pytest.fixture(scope="module")
def server(shelf: Path) -> Generator[tuple[Hub, str]]:
    hub = Hub()
    with Loopback(hub, shelf).beside() as url:
        yield hub, url


def count(page: Any) -> int:
    """Nodes by the page's own count."""
    return int(page.locator(NODES).inner_text().replace(",", ""))


def forest(watched: Any, size: int, fan: int = 4) -> None:
    """A tree of so many nodes with scores and every mark."""
    kinds = ("kept", "pruned", "lost", "", "", "")
    for i in range(size):
        parent = (i - 1) // fan
        watched(
            Noted(
                "",
                "0/0#1",
                "expanded",
                {"id": f"n{i}", "parent": f"n{parent}" if i else None, "text": f"step {i}"},
            )
        )
        watched(Noted("", "#1", "scored", {"id": f"n{i}", "value": (i * 37 % 101) / 100}))
        if kinds[i % 6]:
            watched(
                Noted(
                    "",
                    "#2",
                    kinds[i % 6],
                    {"id": f"n{i}", "cause": "budget", "reason": "the grant was spent"},
                )
            )


def test_a_tree_grows_while_the_request_runs(browser: Any, server: tuple[Hub, str]) -> None:
    hub, url = server
    budget = Budget(calls=60)
    question = chains(ChainWorld(steps=(6, 6)), 1)[0].question
    watched = hub.begin("grows", title=question, budget=budget, strategy="beam_search(width=3)")
    spent: list[int] = []
    made: list[str] = []
    gates = {9: threading.Event(), 18: threading.Event()}

    def listen(event: Event) -> None:
        """Holds the run twice, so that it stands still while the page is looked at."""
        watched(event)
        if isinstance(event, Noted) and event.kind == "expanded":
            made.append(event.kind)
            if len(made) in gates:
                assert gates[len(made)].wait(20)

    def run() -> None:
        result = solve(
            question, model="sim:chain(latency_s=0.005)", strategy="beam_search(width=3, branch=3)",
            budget=budget, listen=listen, kind="number",
        )  # fmt: skip
        spent.append(result.usage.calls)
        watched.end(result.answer or "", stopped=result.stopped)

    thread = threading.Thread(target=run)
    with paged(browser, f"{url}&r=grows") as (page, troubles):
        page.wait_for_selector("#state.running")
        thread.start()
        until(page, "document.querySelectorAll('.node').length === 9")
        assert count(page) == 9
        gates[9].set()
        until(page, "document.querySelectorAll('.node').length === 18")
        assert count(page) == 18
        assert page.locator("#state").inner_text() == "Running"
        gates[18].set()
        page.wait_for_selector("#state:not(.running)")
        thread.join()
        assert page.locator("#state").inner_text() == "Ended, stopped: budget"
        assert page.locator(".notice.cut").inner_text().endswith("refused by the budget")
        page.keyboard.press("r")
        row = page.locator(".node[aria-selected=true]")
        assert row.get_attribute("data-state") == "cut"
        assert row.locator(".word").inner_text() == "refused"
        assert row.locator("svg.cut path").count() == 1
        assert "calls" in page.locator("#node .reason").inner_text()
        assert page.get_by_role("meter").get_attribute("aria-valuenow") == str(spent[0])
        assert f"{spent[0]} of 60" in page.locator("#spending .bound").inner_text()
        page.keyboard.press("b")
        assert page.locator(".node[aria-selected=true]").get_attribute("data-state") == "chosen"
        page.wait_for_selector("#node pre")
    assert troubles == []


@pytest.mark.slow
def test_a_reader_that_was_cut_off_goes_on_where_it_was(
    browser: Any, server: tuple[Hub, str]
) -> None:
    hub, url = server
    watched = hub.begin("cut off")
    forest(watched, 5)
    with paged(browser, f"{url}&r={watched.id}") as (page, _troubles):
        until(page, f"document.querySelector('{NODES}')?.innerText === '5'")
        asked: list[str] = []
        page.on("request", lambda sent: asked.append(sent.headers.get("last-event-id", "")))
        hub.closed = True
        page.wait_for_selector("#alert:not([hidden])")
        forest(watched, 9)
        hub.closed = False
        until(page, f"document.querySelector('{NODES}').innerText === '9'")
        assert page.locator("#alert").is_hidden()
    watched.end()


def test_a_journal_opens(browser: Any, server: tuple[Hub, str], shelf: Path) -> None:
    task, answer = simulated_tasks(1, seed=4, difficulty=4)[0]
    result = solve(
        task,
        model="sim:arithmetic(skill=0.9)",
        strategy="mcts(iterations=30)",
        journal=shelf / "run.jsonl",
    )
    assert result.answer == answer
    with paged(browser, server[1]) as (page, troubles):
        page.click("#tab-journals")
        page.click(".entry[href*='#j=']")
        page.wait_for_selector("#state.recorded")
        assert page.locator("#question").inner_text() == task.question
        assert page.locator(".node[data-state=chosen]").count() == 1
        until(page, f"document.querySelector('#node pre')?.innerText.includes('{answer}')")
        until(page, "document.querySelectorAll('#node .step').length > 1")
        policy = page.locator("#spending tbody tr").first.inner_text().split()
        assert policy[:2] == ["policy", str(result.roles["policy"].calls)]
    assert troubles == []


@pytest.mark.slow
def test_a_journal_of_many_tasks_leads_to_each(
    browser: Any, server: tuple[Hub, str], shelf: Path
) -> None:
    tasks = [task for task, _ in simulated_tasks(3, difficulty=3)]
    many = solve_many(
        tasks, model="sim:arithmetic()", strategy="best_of(n=2)", journal=shelf / "many.jsonl"
    )
    thread = threading.Thread(target=lambda: asyncio.run(drained(many)))  # a loop runs in this one
    thread.start()
    thread.join()
    with paged(browser, f"{server[1]}&j=many.jsonl") as (page, troubles):
        page.wait_for_selector("#tasks a")
        assert page.locator("#tasks tbody tr").count() == 3
        page.locator("#tasks a").nth(1).click()
        page.wait_for_selector(".node")
        assert page.locator("#question").inner_text() == tasks[1].question
        page.go_back()
        page.wait_for_selector("#tasks a")
    assert troubles == []


async def drained(source: Any) -> None:
    async for _ in source:
        pass


# --------------------------------------------------------------------------------- hostile texts


def hostile(hub: Hub) -> Any:
    """A request in which every field says every one of them."""
    all_of_it = " ".join(HOSTILE)
    watched = hub.begin(
        "hostile", title=all_of_it, strategy=all_of_it, model=all_of_it, key=all_of_it
    )
    for i, text in enumerate(HOSTILE):
        watched(
            Noted(
                "",
                "0/0#1",
                "expanded",
                {
                    "id": f"{i}{text}",
                    "parent": f"0{HOSTILE[0]}" if i else None,
                    "text": text,
                    "depth": text,
                },
            )
        )
        watched(Noted("", "#1", "scored", {"id": f"{i}{text}", "reason": text}))
        watched(Noted("", "#2", "lost", {"id": f"lost{text}", "cause": text, "reason": text}))
        watched(Noted("", "#3", text, {text: text}))
        watched(Noted("", "#4", "decided", {text: text}))
        watched(Noted(text, f"{text}#1", "expanded", {"id": text, "text": text}))
    used = Usage(tokens_out=3, calls=1)
    asked = Generate(Prompt.raw(all_of_it), seed=0, role=all_of_it[:200])
    for outcome in (
        Reply(Completion(all_of_it, tokens=3), used),
        OutOfBudget(all_of_it, 3, 1),
        Failed(all_of_it),
    ):
        watched(Answered("", "#5", asked, outcome, all_of_it))
    watched(Finished(all_of_it, all_of_it))
    watched.end(all_of_it, stopped=all_of_it, error=all_of_it)
    return watched


INERT = """() => {
  const strange = [...document.querySelectorAll('*')].filter((element) =>
    ['IMG', 'IFRAME', 'OBJECT', 'EMBED', 'BASE', 'STYLE', 'B-', 'FORM'].includes(element.tagName) && element.id !== 'lock'
    || [...element.attributes].some((held) => /^on|^srcdoc|^formaction/i.test(held.name)
      || /^(href|src|action|xlink:href|d)$/i.test(held.name) && /javascript:|evil|[<>]/i.test(held.value)));
  return {
    hit: window.hit === undefined && !document.querySelector('#node, #tree, #log')?.querySelector('script'),
    scripts: document.querySelectorAll('script').length,
    sheets: document.querySelectorAll('link[rel=stylesheet]').length,
    strange: strange.map((element) => element.outerHTML.slice(0, 200)),
    unseen: /[\\u0000-\\u0008\\u000b\\u000c\\u000e-\\u001f\\u007f-\\u009f\\u200b-\\u200f\\u202a-\\u202e\\u2066-\\u2069\\ufeff]/.test(document.body.innerText + document.title),
  };
}"""


MARKUP = """() => {
  const box = document.createElement('div');
  box.innerHTML = '<img src="data:," onerror="window.hit=1"><p style="opacity:0.5" id="styled">x</p>';
  document.body.append(box);
  const script = document.createElement('script');
  script.textContent = 'window.hit=2';
  document.body.append(script);
}"""


def test_hostile_texts_run_nothing_and_make_nothing(
    browser: Any, server: tuple[Hub, str], shelf: Path
) -> None:
    hub, url = server
    hostile(hub)
    name = "<img src=x onerror=window.hit=1>.jsonl"
    with FileJournal.create(
        shelf / name, {"task": {"messages": [{"content": HOSTILE[0]}]}, "strategy": HOSTILE[1]}
    ) as book:
        for i, text in enumerate(HOSTILE):
            book.append(
                "",
                {
                    "kind": "note",
                    "at": "0#1",
                    "ask": "expanded",
                    "value": {"id": f"{i}{text}", "text": text},
                },
            )
    inert = {"hit": True, "scripts": 1, "sheets": 6, "strange": [], "unseen": False}
    with paged(browser, f"{url}&r=hostile") as (page, troubles):
        page.wait_for_selector(".node")
        assert page.evaluate(INERT) == inert
        assert "<script>window.hit=1</script>" in page.locator("#question").inner_text()
        assert "\u27e8202E\u27e9evil" in page.locator("#question").text_content()
        page.focus("#tree")
        page.keyboard.press("Home")
        seen = set()
        for _ in range(3 * len(HOSTILE)):
            page.keyboard.press("ArrowDown")
            page.wait_for_timeout(5)
            seen.add(page.locator("#node").text_content())
        page.wait_for_selector("#node pre")
        assert len(seen) > 2 * len(HOSTILE)
        assert page.evaluate(INERT) == inert
        page.click("#side-log")
        assert page.locator("#log li").count() > 10
        assert page.evaluate(INERT) == inert
        page.fill("#find", HOSTILE[0])
        until(page, "document.querySelector('#hits').innerText.includes('of')")
        page.click("#tab-journals")
        page.click(f"text={name}")
        page.wait_for_selector("#state.recorded")
        page.wait_for_selector(".node")
        assert page.evaluate(INERT) == inert
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert troubles == []
        # The second wall, behind the first: were markup ever made, its scripts would not run.
        page.evaluate(MARKUP)
        page.wait_for_timeout(50)
        assert page.evaluate("window.hit === undefined")
        assert page.evaluate("getComputedStyle(document.querySelector('#styled')).opacity") == "1"
    assert any("Content Security Policy" in said for said in troubles)


# ------------------------------------------------------------------------------ keys and sizes


def test_the_keyboard_is_enough(browser: Any, server: tuple[Hub, str]) -> None:
    hub, url = server
    watched = hub.begin("keys")
    forest(watched, 60)
    watched(Noted("", "", "ranked", {"items": [{"id": "n40", "text": "step 40", "value": 1.0}]}))
    watched.end("40")
    with paged(browser, f"{url}&r=keys") as (page, troubles):
        page.wait_for_selector(".node[data-state=chosen]")
        chosen = page.locator(".node[aria-selected=true]")
        page.focus("#tree")
        page.keyboard.press("Home")
        assert chosen.get_attribute("id") == "n0"
        assert chosen.get_attribute("aria-level") == "1"
        page.keyboard.press("ArrowRight")
        assert chosen.get_attribute("id") == "n1"
        assert page.locator("#tree").get_attribute("aria-activedescendant") == "n1"
        page.keyboard.press("ArrowDown")
        assert chosen.get_attribute("aria-level") == "3"
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("ArrowLeft")
        assert (chosen.get_attribute("id"), chosen.get_attribute("aria-expanded")) == (
            "n1",
            "false",
        )
        assert page.locator("#n5").count() == 0
        page.keyboard.press("ArrowRight")
        assert chosen.get_attribute("aria-expanded") == "true"
        assert page.locator("#n5").count() == 1
        page.keyboard.press("End")
        last = chosen.get_attribute("id")
        page.keyboard.press("ArrowUp")
        assert chosen.get_attribute("id") != last
        page.keyboard.press("/")
        page.keyboard.type("step 4")
        until(page, "document.querySelector('#hits').innerText === '1 of 11'")
        assert chosen.get_attribute("id") == "n4"
        page.keyboard.press("Enter")
        assert chosen.get_attribute("id") == "n40"
        page.keyboard.press("Escape")
        page.keyboard.press("n")
        assert chosen.get_attribute("id") == "n41"
        page.keyboard.press("p")
        page.keyboard.press("Enter")
        until(page, "document.querySelector('#node pre')?.innerText === 'step 40'")
        page.keyboard.press("?")
        assert page.locator("#help").is_visible()
        page.keyboard.press("Escape")
        assert page.locator("#help").is_hidden()
        outlines = page.evaluate(
            """() => [...document.querySelectorAll('button, a, input, [tabindex="0"]')]
              .filter((held) => held.checkVisibility() && !held.disabled && held.id !== 'tree')
              .map((held) => { held.focus({ focusVisible: true }); return getComputedStyle(held).outlineStyle; })"""
        )
        assert set(outlines) == {"solid"}
    assert troubles == []


@pytest.mark.slow
def test_ten_thousand_nodes_stay_usable(browser: Any, server: tuple[Hub, str]) -> None:
    hub, url = server
    watched = hub.begin("large")
    forest(watched, 10_000)
    with paged(browser, f"{url}&r=large") as (page, troubles):
        until(page, f"document.querySelector('{NODES}')?.innerText === '10,000'")
        assert page.locator(".node").count() < 60
        page.focus("#tree")
        slowest = page.evaluate(
            """async () => {
              const tree = document.querySelector('#tree');
              let slowest = 0;
              for (const key of ['End', 'Home', ...Array(20).fill('ArrowDown'), 'ArrowRight', 'PageDown', 'End']) {
                const start = performance.now();
                tree.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true }));
                slowest = Math.max(slowest, performance.now() - start);
                await new Promise(requestAnimationFrame);
              }
              return slowest;
            }"""
        )
        assert slowest < 250
        page.keyboard.press("/")
        page.keyboard.type("step 9999")
        until(page, "document.querySelector('#hits').innerText === '1 of 1'")
        assert page.locator(".node[aria-selected=true]").get_attribute("id") == "n9999"
        assert page.locator(".node").count() < 80
        start = time.monotonic()
        watched(Noted("", "0/0#1", "expanded", {"id": "more", "parent": "n0"}))
        until(page, f"document.querySelector('{NODES}').innerText === '10,001'")
        assert time.monotonic() - start < 2
    watched.end()
    assert troubles == []


WIDE = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
CONTRAST = """() => {
  const parse = (colour) => (colour.match(/[\\d.]+/g) ?? []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255).map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (element) => {
    for (let held = element; held; held = held.parentElement) {
      const found = parse(getComputedStyle(held).backgroundColor);
      if (found.length === 3 || found[3] > 0.99) return found;
    }
    return [255, 255, 255];
  };
  const poor = [];
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !element.checkVisibility({ visibilityProperty: true }) || element.closest('.hidden, .skip, :disabled')) continue;
    const [a, b] = [light(parse(getComputedStyle(element).color)), light(behind(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) poor.push(`${element.className || element.tagName} ${ratio.toFixed(2)} ${element.textContent.slice(0, 30)}`);
  }
  return poor;
}"""


@pytest.mark.parametrize(
    ("width", "theme"),
    [
        (390, "light"),
        pytest.param(390, "dark", marks=pytest.mark.slow),
        pytest.param(1280, "light", marks=pytest.mark.slow),
        pytest.param(1280, "dark", marks=pytest.mark.slow),
    ],
)
def test_texts_can_be_read_and_nothing_is_wider_than_the_page(
    browser: Any, server: tuple[Hub, str], width: int, theme: str
) -> None:
    hub, url = server
    if hub.find("looks") is None:
        watched = hub.begin(
            "looks",
            title="a " * 300,
            strategy="x" * 300,
            budget=Budget(tokens_out=10, calls=2, usd=1.0),
        )
        forest(watched, 80)
        watched(
            Noted("", "", "ranked", {"items": [{"id": "n40", "text": "w" * 3000, "value": 1.0}]})
        )
        used = Usage(tokens_out=9, calls=2, usd=None)
        watched(
            Answered(
                "",
                "#5",
                Generate(Prompt.raw("q"), seed=0),
                Reply(Completion("a", tokens=9), used),
                "",
            )
        )
        watched(
            Answered("", "#6", Generate(Prompt.raw("q"), seed=0), Failed("no server " * 50), "")
        )
        watched.end("y" * 900, stopped="budget", error="e" * 900)
    with paged(browser, f"{url}&r=looks", width=width, height=844, theme=theme) as (page, troubles):
        page.wait_for_selector(".node")
        for key in ("b", "r"):
            page.keyboard.press(key)
        parts = page.locator("#tabs button") if width < 1000 else page.locator("#sides button")
        for i in range(parts.count()):
            parts.nth(i).click()
            page.wait_for_timeout(30)
            assert page.evaluate(CONTRAST) == []
            assert page.evaluate(WIDE)
        page.keyboard.press("?")
        assert page.evaluate(CONTRAST) == []
        page.keyboard.press("Escape")
        if width < 1000:
            page.click("#back")
            page.wait_for_selector(".entry")
            assert page.evaluate(WIDE)
            assert page.evaluate(CONTRAST) == []
        page.click("#leave")
        page.wait_for_selector("#lock")
        page.fill("#key", "wrong")
        page.keyboard.press("Enter")
        until(page, "document.querySelector('#wrong').innerText !== ''")
        assert page.evaluate(CONTRAST) == []
        assert page.evaluate(WIDE)
    assert not [said for said in troubles if "401" not in said]


@pytest.mark.slow
def test_what_cannot_be_shown_is_told_and_leads_back(
    browser: Any, server: tuple[Hub, str], shelf: Path
) -> None:
    (shelf / "bad.jsonl").write_text("{}\n")
    for query in ("j=bad.jsonl", "j=none.jsonl", "r=none"):
        with paged(browser, f"{server[1]}&{query}", width=390) as (page, _):
            page.wait_for_selector(".empty.bad")
            assert page.locator(".part:visible").count() == 0
            page.locator(".back:visible").click()
            page.wait_for_selector(".rail:visible")


@pytest.mark.slow
def test_the_key_opens_the_door_and_leaves_the_address(
    browser: Any, server: tuple[Hub, str]
) -> None:
    _hub, url = server
    base, _, key = url.partition("#key=")
    with paged(browser, base) as (page, troubles):
        page.wait_for_selector("#lock")
        page.fill("#key", "wrong")
        page.click("#lock button")
        page.wait_for_selector("#wrong:not(:empty)")
        page.fill("#key", key)
        page.keyboard.press("Enter")
        page.wait_for_selector("#runs > *")
        assert page.locator("#lock").is_hidden()
        assert page.evaluate("document.cookie") == ""
        page.reload()
        page.wait_for_selector("#runs > *")
        page.goto("about:blank")
        page.goto(url)
        page.wait_for_selector("#runs > *")
        assert key not in page.url
        assert (
            page.evaluate("Object.keys(localStorage).length + Object.keys(sessionStorage).length")
            == 0
        )
    assert not [said for said in troubles if "401" not in said]

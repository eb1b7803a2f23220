from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

from cogitate.assembly.result import Result, to_text
from cogitate.core.candidates import Artifact, Candidate, Ranking, Score, Unscored
from cogitate.core.task import Task
from cogitate.core.usage import Usage

HOSTILE = "<script>alert('x')</script>&\"<img src=x onerror=y>\x1b[31m\ud83d"


def result(text: str = "It is 4.", answer: str | None = "4", **known: object) -> Result:
    items = (
        Candidate(Artifact(text, answer), Score(0.75), "a"),
        Candidate(Artifact("no", None), Unscored("dead"), "b"),
        Candidate(Artifact("nan", "5"), Score(float("nan")), "c"),
    )
    given = {
        "ranking": Ranking(items),
        "strategy": "best_of()",
        "model": "fake",
        "seed": 3,
        **known,
    }
    return Result(task=Task.of("?"), **given)  # type: ignore[arg-type]


def test_the_record_has_the_promised_fields_and_is_strict_json() -> None:
    record = json.loads(
        to_text(result(usage=Usage(tokens_out=5, calls=2, usd=None), journal=Path("run.jsonl"))),
        parse_constant=lambda c: 1 / 0,
    )
    assert list(record) == [
        "answer", "score", "candidates", "usage", "spent", "cost", "strategy", "model", "seed", "journal",
        "stopped",
    ]  # fmt: skip
    assert (record["answer"], record["score"], record["cost"]) == ("4", 0.75, None)
    assert record["usage"] == {"tokens_out": 5, "calls": 2, "usd": None}
    assert [c["score"] for c in record["candidates"]] == [0.75, None, None]
    assert record["journal"] == "run.jsonl"


def test_nothing_a_model_wrote_becomes_markup_or_breaks_json() -> None:
    made = result(HOSTILE, HOSTILE, model=HOSTILE, strategy=HOSTILE, stopped=HOSTILE, reason=HOSTILE,
                  roles={HOSTILE: Usage(calls=1)})  # fmt: skip
    page = made._repr_html_()
    tags: set[str] = set()
    names: set[str] = set()

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            tags.add(tag)
            names.update(name for name, _ in attrs)

    Reader().feed(page)
    assert tags <= {"div", "p", "b", "table", "thead", "tbody", "tr", "th", "td", "code"}
    assert not names
    assert page.count("&lt;script&gt;") >= 5
    page.encode()
    assert "\x1b" not in page
    assert json.loads(to_text(made))["answer"] == HOSTILE


def test_the_page_shows_candidates_and_cost() -> None:
    page = result(
        roles={"policy": Usage(calls=2, tokens_out=7, usd=0.5)}, usage=Usage(usd=None)
    )._repr_html_()
    assert "It is 4." in page
    assert re.search(r"<td>policy</td><td>2</td>.*<td>7</td><td>0.5</td>", page)
    assert "unknown" in page


def test_a_long_list_is_cut_and_says_so() -> None:
    many = Ranking(tuple(Candidate(Artifact("x" * 9999, "1"), Score(1.0)) for _ in range(500)))
    page = result(ranking=many)._repr_html_()
    assert "and 488 more" in page
    assert len(page) < 20_000


def test_an_empty_ranking_has_no_answer() -> None:
    empty = result(ranking=Ranking(stopped="budget"), stopped="budget")
    assert (empty.answer, empty.text, empty.score, empty.best) == (None, "", None, None)
    assert str(empty) == "no answer: budget"
    assert json.loads(to_text(empty))["candidates"] == []
    assert "no answer" in empty._repr_html_()

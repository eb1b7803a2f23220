from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest

from cogitate.claims import papers_markdown
from cogitate.core.errors import InvalidInput
from cogitate.recipes import Card, axis, card, cards, query, taxonomy
from cogitate.recipes.cards import _card

ROOT = Path(__file__).parents[2]


def test_every_paper_has_a_complete_card() -> None:
    assert [c.id for c in cards()] == [f"{i:02d}" for i in range(1, 39)]
    for paper in cards():
        assert re.fullmatch(r"\d{4}\.\d{5}", paper.arxiv)
        assert paper.title
        assert re.fullmatch(r"[a-z0-9-]+", paper.slug)
        assert re.fullmatch(r"[a-z][a-z0-9_]*|", paper.recipe)
        assert paper.items > 0
        assert paper.rooms
    for field in ("slug", "arxiv", "title"):
        assert len({getattr(c, field) for c in cards()}) == 38
    recipes = [c.recipe for c in cards() if c.recipe]
    assert len(set(recipes)) == len(recipes)
    assert [c.id for c in cards() if not c.recipe] == ["31", "37"]  # a survey, and a law to fit


def test_every_paper_but_the_law_is_tagged_where() -> None:
    assert [c.id for c in cards() if not c.tags.get("where")] == ["37"]
    assert [c.id for c in cards() if not c.tags.get("what")] == ["24", "37"]
    untagged = [c.id for c in cards() if not c.tags.get("how")]
    assert untagged == ["20", "24", "27", "31", "37"]  # laws, lossless acceleration, the survey


def test_json_form_has_the_public_keys() -> None:
    row = card("12").as_json()
    assert list(row) == ["id", "slug", "title", "arxiv", "recipe", "tags"]
    assert json.loads(json.dumps(row)) == row
    assert row["tags"]["allocation"] == ["per_difficulty"]


@pytest.mark.parametrize("name", ["5", "05", "parm", " PARM ", "2501.13926"])
def test_a_card_has_several_names(name: str) -> None:
    assert card(name).id == "05"


def test_an_unknown_paper_suggests_the_nearest() -> None:
    with pytest.raises(InvalidInput, match="did you mean 'atom-of-thoughts'"):
        card("atoms-of-thought")
    with pytest.raises(InvalidInput, match="ids are 01 to 38"):
        card("39")
    with pytest.raises(InvalidInput):
        card("")  # two cards have no recipe: an empty name must not find them


GOLDEN = [
    ({"what": "hybrid", "how": "verification/process"}, "03 12 23 25 35"),
    ({"how": "search/mcts"}, "23"),
    ({"how": "search", "where": "generation"}, "08 25 26"),
    ({"how": "tuning/rl"}, "02 04 05 14 21 28 29"),
    ({"how": "rl/reward_model_free"}, "05"),
    ({"where": "multimodal"}, "07 29 30"),
    ({"where": "medical"}, "09"),
    ({"acceleration": "speculative"}, "24"),
    ({"allocation": "per-difficulty"}, "01 12"),
    ({"how": "retrieval", "where": "knowledge"}, "07 14 17"),
    ({"what": "internal", "where": "video generation"}, ""),
]


@pytest.mark.parametrize(("asked", "ids"), GOLDEN)
def test_queries(asked: dict[str, str], ids: str) -> None:
    assert [c.id for c in query(**asked)] == ids.split()


def test_a_query_agrees_with_brute_force_on_every_path() -> None:
    for name, known in taxonomy().items():
        for path in known.paths:
            slow = [
                c.id
                for c in cards()
                if any(
                    t.split("/")[: path.count("/") + 1] == path.split("/")
                    for t in c.tags.get(name, ())
                )
            ]
            assert [c.id for c in query(**{name: path})] == slow


def test_a_card_with_a_bad_tag_is_refused() -> None:
    good = {f.name: getattr(card("01"), f.name) for f in dataclasses.fields(Card)}
    with pytest.raises(InvalidInput, match="did you mean 'inference/search/beam'"):
        Card(**good | {"tags": {"how": ("inference/search/beem",)}})
    with pytest.raises(InvalidInput, match="no full path"):
        Card(**good | {"tags": {"how": ("beam",)}})  # cards are written in full
    with pytest.raises(InvalidInput, match="axis 'hwo' was asked for; did you mean 'how'"):
        Card(**good | {"tags": {"hwo": ("tuning",)}})


def test_a_card_survives_the_data_file() -> None:
    raw = {"id": "01", "slug": "x", "title": "T", "arxiv": "2401.00001", "recipe": "", "items": 1}
    made = _card(raw | {"rooms": ["budget"], "tags": {"what": ["parallel"]}})
    assert made.tags == {"what": ("parallel",)}
    assert made.year == 2024


def test_bibtex_holds_the_facts_and_balances() -> None:
    for paper in cards():
        entry = paper.bibtex
        assert entry.startswith("@misc{")
        assert entry.count("{") == entry.count("}")
        assert f"eprint = {{{paper.arxiv}}}" in entry
        assert f"year = {{{paper.year}}}" in entry
        assert paper.title.split(":")[0] in entry
        assert "author" not in entry  # the cards do not know them, and nothing is invented


def test_the_page_is_current() -> None:
    page = (ROOT / "docs" / "papers.md").read_text("utf-8")
    assert page == papers_markdown(), (
        'out of date; run: python -c "from cogitate.claims import papers_markdown as page;'
        " print(page(), end='')\" > docs/papers.md"
    )


def test_the_page_round_trips_the_table() -> None:
    rows = [r for r in papers_markdown().splitlines() if re.match(r"\| \d\d ", r)]
    assert len(rows) == 38
    for row, paper in zip(rows, cards(), strict=True):
        cells = [c.strip() for c in row.strip("|").split("|")]
        assert len(cells) == 9
        hows = [
            *paper.tags.get("how", ()),
            *paper.tags.get("allocation", ()),
            *paper.tags.get("acceleration", ()),
        ]
        names = {
            **{
                p.rsplit("/", 1)[-1].replace("_", " "): p
                for a in ("how", "allocation", "acceleration")
                for p in axis(a).paths
            }
        }
        assert [names[c] for c in cells[4].split(", ") if c] == hows

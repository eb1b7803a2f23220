"""Running grids: samples are shared, what is finished is not paid again, and the folder tells all."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cogitate.apps.cli import main
from cogitate.bench.folder import Folder, load
from cogitate.bench.results import Found
from cogitate.core.errors import Failed, JournalError
from cogitate.core.protocols import Emit, silent
from cogitate.core.requests import Request
from cogitate.core.usage import Budget
from cogitate.drive import FileJournal
from cogitate.lab.worlds import ChainModel

WORLD = "world:medium(problems=6)"
SIM = "sim:chain(preset='medium')"
SLOW = "sim:chain(preset='medium', latency_s=0.001)"
"""The same world, which waits before it answers: the asynchronous driver serves it."""


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often the world was asked each request."""
    found: Counter[str] = Counter()
    serve = ChainModel.serve

    async def counted(self: ChainModel, batch: Sequence[Request[Any]], emit: Emit = silent) -> Any:
        found.update(r.key() for r in batch if r.body().get("max_tokens") != 1)
        return await serve(self, batch, emit)

    monkeypatch.setattr(ChainModel, "serve", counted)
    return found


def bench(out: Path, *arguments: str, model: str = SIM, status: int = 0) -> None:
    given = ["--task", WORLD, "--model", f"world={model}", *arguments, "--out", str(out), "--json"]
    given += ["--no-report"]
    assert main(["bench", "run", *given]) == status


def strategies(*specs: str) -> list[str]:
    return [word for spec in specs for word in ("--strategy", spec)]


def found(out: Path) -> Found:
    return replace(load(out), timing=None)


def told(out: Path, cell: int) -> list[tuple[Any, ...]]:
    """What the journal of a cell holds, without which replies were remembered."""
    folder = Folder.open(out)
    with FileJournal.open(folder.journal(folder.entries[cell]), read_only=True) as book:
        rows = [(r["s"], r["kind"], r.get("at"), r.get("value")) for r in book.lines()]
    return sorted(rows, key=lambda row: (row[0], row[1], str(row[2]), str(row[3])))


@pytest.mark.parametrize("model", [SIM, SLOW], ids=["at once", "waiting"])
def test_strategies_and_all_n_share_samples(
    model: str, asked: Counter[str], tmp_path: Path
) -> None:
    specs = strategies("best_of(n={n}, scorer=prm())", "best_of(n={n}, scorer=majority())")
    bench(tmp_path / "out", *specs, "--n", "1,2,8", model=model)
    assert sum(asked.values()) == len(asked) == 6 * 8 + 6 * 8, "one sample and one score each"
    usage = [cell.outcomes[0].usage["policy"].calls for cell in load(tmp_path / "out").cells]
    assert usage == [1, 2, 8, 1, 2, 8], "what is remembered is charged all the same"


@pytest.mark.parametrize("model", [SIM, SLOW], ids=["at once", "waiting"])
def test_a_grid_is_extended_from_the_same_samples(
    model: str, asked: Counter[str], tmp_path: Path
) -> None:
    grown, whole = tmp_path / "grown", tmp_path / "whole"
    small = strategies("best_of(n={n}, scorer=prm())")
    large = strategies("best_of(n={n}, scorer=prm())", "self_consistency(n=4)")
    bench(grown, *small, "--n", "1,4", model=model)
    asked.clear()
    bench(grown, *large, "--n", "1,4,8", model=model)
    rehearsed = 3 if model == SIM else 0
    assert sum(asked.values()) <= 6 * 2 * 4 + rehearsed, (
        "only the samples beyond the fourth are new"
    )
    asked.clear()
    bench(grown, *large, "--n", "1,4,8", model=model)
    assert not asked
    bench(whole, *large, "--n", "1,4,8", model=model)
    assert found(grown) == found(whole)
    assert (grown / "run.json").read_bytes() == (whole / "run.json").read_bytes()


def test_more_questions_extend_a_folder(asked: Counter[str], tmp_path: Path) -> None:
    grown, whole = tmp_path / "grown", tmp_path / "whole"
    specs = strategies("best_of(n=2, scorer=prm())")
    bench(grown, *specs, "--limit", "2")
    asked.clear()
    bench(grown, *specs)
    assert sum(asked.values()) == 4 * 4, "two samples and two scores of the four new questions"
    bench(whole, *specs)
    assert found(grown) == found(whole)


def test_a_budget_buys_the_same_whatever_ran_before(tmp_path: Path) -> None:
    specs = strategies("best_of(n=8, scorer=prm())")
    for model, name in ((SIM, "at once"), (SLOW, "waiting")):
        alone, after = tmp_path / f"{name} alone", tmp_path / f"{name} after"
        bench(alone, *specs, "--budget-tokens", "150,400", model=model)
        bench(after, *specs, model=model)
        more = strategies("greedy")
        bench(after, *more, *specs, "--budget-tokens", "150,400", "--add", model=model)
        assert found(after).cells[2::2] == found(alone).cells
        assert {o.stopped for o in found(alone).cells[0].outcomes} == {"budget"}
        assert found(alone).cells[0].key.budget == Budget(tokens_out=150)
        assert told(alone, 0) == told(after, 2), "the journals do not say what ran beside"


def test_both_drivers_find_the_same(tmp_path: Path) -> None:
    specs = strategies("beam_search(width=2, branch=2, scorer=prm())", "self_consistency(n=4)")
    pool = ["--samples", "4", "--select", "best_of(scorer=prm())"]
    bench(tmp_path / "one", *specs, *pool, "--budget-calls", "9", model=SIM)
    bench(tmp_path / "other", *specs, *pool, "--budget-calls", "9", model=SLOW)
    one, other = found(tmp_path / "one"), found(tmp_path / "other")
    assert one.cells == other.cells
    assert one.pools == other.pools


def test_a_pool_holds_what_strategies_drew(asked: Counter[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    pool = ["--samples", "4", "--select", "best_of(scorer=prm())", "--scorer", "mean_logprob()"]
    bench(out, *strategies("best_of(n=4, scorer=mean_logprob())"), *pool)
    (cell,), (drawn,) = load(out).cells, load(out).pools
    assert sum(asked.values()) == len(asked) == 6 * 8, "one sample and one score each"
    for question, outcome in zip(drawn.questions, cell.outcomes, strict=True):
        assert len(question.classes) == len(question.scores["prm()"]) == 4
        scores = question.scores["mean_logprob()"]
        best = max(range(4), key=lambda i: scores[i] or -9.0)
        assert question.correct[best] == outcome.correct
        assert sum(question.tokens) == outcome.usage["policy"].tokens_out
        assert question.tokens_in * 4 == outcome.usage["policy"].tokens_in
        assert question.scored["prm()"].calls == 4
        assert question.scored["mean_logprob()"].calls == 0


def test_recorded_samples_are_dealt_alike_whoever_asks_first(tmp_path: Path) -> None:
    pool = "pool:smollm2-wordproblems"
    base = ["bench", "run", "--task", pool, "--limit", "6", "--model", pool, "--no-report"]
    one, other = tmp_path / "one", tmp_path / "other"
    for n in ("8", "32"):
        specs = strategies("self_consistency(n={n})")
        assert main([*base, *specs, "--n", n, "--add", "--out", str(one)]) == 0
    specs = strategies("best_of(n=32, scorer=mean_logprob())", "self_consistency(n=32)")
    assert main([*base, *specs, "--out", str(other)]) == 0
    assert load(one).cells[1].outcomes == load(other).cells[1].outcomes
    assert load(other).cells[0].outcomes[0].candidates == 32


def test_outcomes_follow_from_the_journals(tmp_path: Path) -> None:
    out = tmp_path / "out"
    bench(out, *strategies("best_of(n=2, scorer=prm())"), "--samples", "2")
    want = found(out)
    derived = sorted((out / "outcomes").iterdir())
    kept = [file.read_bytes() for file in derived]
    derived[0].unlink()
    derived[1].write_bytes(kept[1].replace(b"true", b"fals", 1))
    assert found(out) == want
    assert [file.read_bytes() for file in derived] == kept
    (out / "host.json").unlink()
    assert load(out).timing is None


def test_a_damaged_journal_is_named(tmp_path: Path) -> None:
    out = tmp_path / "out"
    bench(out, *strategies("greedy"))
    (entry,) = Folder.open(out).entries
    journal = Folder.open(out).journal(entry)
    raw = journal.read_bytes()
    place = raw.rindex(b'"correct":')
    journal.write_bytes(raw[:place] + b'"correcT":' + raw[place + 10 :])
    (out / "outcomes" / f"{entry.file}.jsonl").unlink()
    with pytest.raises(JournalError, match=f"{journal.name} is damaged"):
        load(out)


def test_the_seconds_and_the_host_lie_apart(tmp_path: Path) -> None:
    out = tmp_path / "out"
    bench(out, *strategies("greedy"))
    said = json.loads((out / "host.json").read_text())
    assert set(said) == {"host", "seconds"}
    held = load(out)
    assert held.timing is not None
    assert held.timing.seconds[held.cells[0].key.name] > 0
    assert "platform" not in (out / "run.json").read_text()


@pytest.mark.parametrize("model", [SIM, SLOW], ids=["at once", "waiting"])
def test_the_budget_of_the_whole_run_ends_it(model: str, tmp_path: Path) -> None:
    out, whole = tmp_path / "out", tmp_path / "whole"
    specs = strategies("best_of(n=4, scorer=prm())", "greedy")
    bench(out, *specs, "--calls", "20", model=model, status=1)
    known = found(out)
    done = [outcome for cell in known.cells for outcome in cell.outcomes]
    assert 0 < sum(outcome.spent.calls for outcome in done) <= 20
    assert not any(outcome.stopped for outcome in done), "no question is sealed short of money"
    bench(out, *specs, model=model)
    bench(whole, *specs, model=model)
    assert found(out).cells == found(whole).cells


def test_a_folder_of_another_grid_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    bench(out, *strategies("best_of(n=2, scorer=prm())", "greedy"))
    before = (out / "run.json").read_bytes()
    capsys.readouterr()

    def refused(*arguments: str, model: str = SIM) -> str:
        bench(out, *arguments, model=model, status=1)
        return capsys.readouterr().err

    assert "it has the cell best_of(n=2, scorer=prm()) on" in refused(*strategies("greedy"))
    assert "the model world was {'policy'" in refused(*strategies("greedy"), "--add", model=SLOW)
    assert "asks 6 questions" in refused(*strategies("greedy"), "--add", "--limit", "3")
    assert (out / "run.json").read_bytes() == before
    other = tmp_path / "other"
    other.mkdir()
    (other / "letter.txt").write_text("dear")
    bench(other, *strategies("greedy"), status=1)
    assert "holds files, but no run.json" in capsys.readouterr().err


def test_a_plan_spends_nothing(
    asked: Counter[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    bench(out, *strategies("best_of(n=4, scorer=prm())"))
    capsys.readouterr()
    before = sorted(out.rglob("*"))
    bench(
        out, *strategies("best_of(n={n}, scorer=prm())"), "--n", "4,8", "--samples", "8", "--plan"
    )
    rows = json.loads(capsys.readouterr().out)["cells"]
    assert [(row["n"], row["done"], row["calls"]) for row in rows] == [
        (4, 6, 0),
        (8, 0, 96),
        (None, 0, 48),
    ]
    assert sorted(out.rglob("*")) == before


def test_what_a_model_cannot_do_is_found_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pool = "pool:smollm2-wordproblems"
    rows = strategies("greedy", "best_of(n=2, scorer=confidence())")
    given = ["--task", pool, "--model", pool, *rows, "--out", str(tmp_path / "out")]
    assert main(["bench", "run", *given]) == 1
    assert "row 2 of strategies" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_cell_in_which_everything_fails_ends_the_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("cogitate.bench.running.MOST_FAILED", 4)
    rows = strategies("greedy", "best_of(n=2, process=answer(constrained=True))")
    model = "sim:chain(preset='medium', failures=1.0)"
    bench(tmp_path / "out", *rows, model=model, status=1)
    told = capsys.readouterr().err
    assert "row 1 of strategies: the first 4 questions got no answer" in told
    assert "the simulated server is busy" in told


def test_failures_of_what_must_be_paid_stay_open(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The engine waits, so it might be a server; what failed is asked again by the next sitting."""
    bad = ["for now"]
    serve = ChainModel.serve

    async def failing(self: ChainModel, batch: Sequence[Request[Any]], emit: Emit = silent) -> Any:
        outcomes = await serve(self, batch, emit)
        return [
            Failed("gone") if bad and "Chain 3 " in request.prompt.messages[-1].content else outcome
            for request, outcome in zip(batch, outcomes, strict=True)
        ]

    monkeypatch.setattr(ChainModel, "serve", failing)
    out = tmp_path / "out"
    bench(out, *strategies("greedy"), model=SLOW, status=1)
    assert [o.question for o in found(out).cells[0].outcomes] == ["0", "1", "2", "4", "5"]
    bad.clear()
    bench(out, *strategies("greedy"), model=SLOW)
    assert [o.question for o in found(out).cells[0].outcomes] == list("012345")

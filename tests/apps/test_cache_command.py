"""Replies kept between commands, `cogitate cache`, and several servers for one role."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from cli_harness import Command, closed_port, hurry, running

import cogitate as cg
from cogitate.assembly import load, named, plan_from_header, resume
from cogitate.core.errors import InvalidInput
from cogitate.drive import FileJournal, ReplyCache

COUNT = "Count, please."
FOUR = 'fake(answers=["4"])'
VOTE = "best_of(n={n}, scorer=confidence())"


@pytest.fixture
def cogitate(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Command:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("COGITATE_CACHE", str(tmp_path / "kept"))
    hurry(monkeypatch)
    return Command(capsys)


def asks(server: Any, n: int = 2, *more: str) -> tuple[str, ...]:
    model = f"openai:{server.url}#toy"
    return (
        "solve",
        COUNT,
        "--model",
        model,
        "--strategy",
        VOTE.format(n=n),
        "--kind",
        "text",
        *more,
    )


def samples(server: Any) -> int:
    return sum(body.get("n", 1) for body in server.bodies)


# ------------------------------------------------------------------------------- solve, twice


def test_the_same_question_costs_nothing_the_second_time(cogitate: Command) -> None:
    with running() as server:
        first = cogitate(*asks(server, 3, "--json")).json
        assert samples(server) == 3
        again = cogitate(*asks(server, 3, "--json")).json
        assert samples(server) == 3
        assert first["spent"] == first["usage"]
        assert again["spent"] == {}
        assert again["usage"] == {k: v for k, v in first["usage"].items() if k != "seconds"}
        same = ("answer", "score", "candidates", "strategy", "model", "seed", "stopped")
        assert {k: again[k] for k in same} == {k: first[k] for k in same}
        shown = cogitate(*asks(server, 5))
        assert samples(server) == 5, "only the new samples are asked"
        assert "3 of 5 replies were kept from earlier runs" in shown.err
        assert "of it paid" in shown.err
        cogitate(*asks(server, 3, "--seed", "1"))
        assert samples(server) == 8, "another seed asks anew"
        cogitate(*asks(server, 3, "--no-cache"))
        assert samples(server) == 11
        assert "kept from earlier" not in cogitate(*asks(server, 3, "--no-cache")).err


def test_free_models_are_asked_again_unless_told_otherwise(
    cogitate: Command, tmp_path: Path
) -> None:
    def stats() -> int:
        return int(cogitate("cache", "stats", "--json").json["entries"])

    for model in (FOUR, "sim:arithmetic(skill=0.9)"):
        cogitate("solve", "2 + 2?", "--model", model, "--strategy", VOTE.format(n=2))
        assert stats() == 0
    assert not (tmp_path / "kept").exists()
    cogitate("solve", "2 + 2?", "--model", FOUR, "--strategy", VOTE.format(n=2), "--cache")
    assert stats() == 2, "the vote is counted anew"


def test_from_python_a_directory_or_a_cache_keeps_everything(tmp_path: Path) -> None:
    calls: list[str] = []

    def mine(prompt: str) -> str:
        calls.append(prompt)
        return f"The answer is {len(calls)}."

    def ask(**known: Any) -> cg.Result:
        return cg.solve(
            "2 + 2?", model=cg.model(mine), strategy="self_consistency(n=2)", kind="number", **known
        )

    ask()
    ask(cache=False)
    assert len(calls) == 4
    first = ask(cache=tmp_path / "one")
    assert ask(cache=str(tmp_path / "one")).answer == first.answer
    assert len(calls) == 6
    with ReplyCache(tmp_path / "two") as cache:
        ask(cache=cache)
        again = ask(cache=cache)
        assert cache.stats().entries == 2, "it is not closed under its owner"
    assert len(calls) == 8
    assert (again.usage.calls, again.spent.calls, again.cost) == (2, 0, 0.0)
    assert "of it paid for" in again._repr_html_()


def test_many_tasks_say_what_each_paid(tmp_path: Path) -> None:
    import asyncio

    async def solve(journal: Path, *tasks: str) -> list[cg.Result]:
        many = cg.solve_many(
            tasks, model=FOUR, strategy=VOTE.format(n=2), cache=tmp_path / "kept", journal=journal
        )
        return [result async for result in many]

    asyncio.run(solve(tmp_path / "a.jsonl", "one?"))
    # The seed of a task is its number, so that only equal tasks at equal places share replies.
    results = asyncio.run(solve(tmp_path / "b.jsonl", "one?", "two?"))
    assert [(r.usage.calls, r.spent.calls) for r in results] == [(2, 0), (2, 2)]
    sealed = asyncio.run(solve(tmp_path / "b.jsonl", "one?", "two?"))
    assert [(r.usage, r.spent) for r in sealed] == [(r.usage, r.spent) for r in results]
    replayed = cg.replay_many(tmp_path / "b.jsonl") if hasattr(cg, "replay_many") else sealed
    assert [(r.usage, r.spent) for r in replayed] == [(r.usage, r.spent) for r in results]


def test_a_journal_remembers_what_came_from_the_cache(cogitate: Command) -> None:
    with running() as server:
        cogitate(*asks(server, 2))
        said = cogitate(*asks(server, 4, "--journal", "run.jsonl", "--json")).json
    assert (said["usage"]["calls"], said["spent"]["calls"]) == (4, 2)
    replayed = cogitate("replay", "run.jsonl", "--json").json
    for name in ("usage", "spent"):
        assert replayed[name]["calls"] == said[name]["calls"]
    with FileJournal.open("run.jsonl", read_only=True) as book:
        told = [r for r in book.lines("") if r["kind"] == "reply" and r["ask"] == "Generate"]
    kept = [record.get("cached", False) for record in told]
    assert sorted(kept) == [False, False, True, True]


def test_resuming_changed_prompts_goes_through_the_cache(
    cogitate: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running() as server:
        # The journal of another question stands for that of other prompts.
        asked = asks(server, 3, "--journal", "run.jsonl")
        cogitate(*asked)
        cogitate(*asks(server, 6))
        assert samples(server) == 6
        with FileJournal.open("run.jsonl", read_only=True) as book:
            header = dict(book.header)
        header["strategy"] = header["strategy"].replace("n=3", "n=6")
        changed = plan_from_header(header, configuration=load())
        monkeypatch.setattr(
            sys.modules["cogitate.assembly.resume"], "plan_from_header", lambda *_, **__: changed
        )
        result = resume("run.jsonl", from_mismatch=True)
        assert samples(server) == 6
    assert (result.usage.calls, result.spent.calls) == (6, 3)


# -------------------------------------------------------------------------------- cogitate cache


def test_stats_and_prune(cogitate: Command, tmp_path: Path) -> None:
    assert cogitate("cache", "stats", "--json").json == {
        "path": str(tmp_path / "kept" / "replies.sqlite"),
        "entries": 0,
        "bytes": 0,
        "file_bytes": 0,
        "max_bytes": 1_000_000_000,
        "oldest": None,
        "engines": [],
    }
    assert not (tmp_path / "kept").exists(), "looking makes nothing"
    with running() as server:
        cogitate(*asks(server, 4))
        url = server.url.removesuffix("/v1")
    found = cogitate("cache", "stats", "--json").json
    assert found["entries"] == 4
    assert [(e["engine"], e["entries"]) for e in found["engines"]] == [(f"vllm 9.9 {url} toy", 4)]
    shown = cogitate("cache").out
    assert "replies   4" in shown
    assert f"vllm 9.9 {url} toy" in shown
    assert "0 replies dropped" in cogitate("cache", "prune", "--older-than", "1").out
    bound = str(found["bytes"] // 2)
    pruned = cogitate("cache", "prune", "--max-bytes", bound, "--json").json
    assert 2 <= pruned["dropped"] < 4
    assert pruned["left"]["entries"] == 4 - pruned["dropped"]
    assert f"{4 - pruned['dropped']} replies dropped" in cogitate("cache", "prune", "--all").out
    assert cogitate("cache", "stats", "--json").json["entries"] == 0


def test_what_prune_cannot_know(cogitate: Command) -> None:
    assert "give --max-bytes N" in cogitate.refused("cache", "prune")
    assert "at least 0" in cogitate.refused("cache", "prune", "--max-bytes", "-1")
    assert "at least 0" in cogitate.refused("cache", "prune", "--older-than", "nan")
    assert "not allowed with" in cogitate.refused(
        "cache", "prune", "--all", "--older-than", "3", status=2
    )


def test_a_damaged_file_is_said_and_does_not_stop_an_answer(
    cogitate: Command, tmp_path: Path
) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "replies.sqlite").write_bytes(b"no database at all" * 100)
    assert "cannot be read" in cogitate.refused("cache", "stats")
    with running() as server:
        said = cogitate(*asks(server, 2))
        assert said.status == 0
        assert "was damaged and is begun anew" in said.err
        assert cogitate(*asks(server, 2)).status == 0
        assert samples(server) == 2


def test_the_configuration_says_where_and_how_much(cogitate: Command, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[cache]\nenabled = false\ndirectory = 'there'\nmax_bytes = 5000\n")
    off = load(path, environment={})
    assert (off.caches, off.cache_directory, off.cache_bytes) == (False, Path("there"), 5000)
    on = load(path, environment={"COGITATE_CACHE": "on"})
    assert (on.caches, on.cache_directory) == (True, Path("there"))
    moved = load(path, environment={"COGITATE_CACHE": "elsewhere"})
    assert (moved.caches, moved.cache_directory) == (True, Path("elsewhere"))
    assert not load(environment={"COGITATE_CACHE": "off"}, directory=tmp_path).caches
    assert load(environment={}, directory=tmp_path).caches
    assert "kept" in cogitate("doctor", "--config").out.replace("\n", "")
    for text, said in (
        ("[cache]\nsize = 1", "did you mean"),
        ("[cache]\nenabled = 'yes'", "true or false"),
        ("[cache]\nmax_bytes = 0", "whole number above 0"),
        ("[cache]\ndirectory = ''", "needs a string"),
    ):
        path.write_text(text)
        with pytest.raises(InvalidInput) as refused:
            load(path, environment={})
        assert said in str(refused.value) or said == "did you mean"


# ------------------------------------------------------------------------- several servers a role


def test_two_servers_share_a_role(cogitate: Command) -> None:
    with running() as one, running() as two:
        models = [f"openai:{server.url}#toy" for server in (one, two)]
        said = cogitate(
            *("solve", COUNT, "--model", models[0], "--model", f"policy={models[1]}", "--no-cache"),
            *("--strategy", VOTE.format(n=6), "--kind", "text", "--json", "--journal", "run.jsonl"),
        )
        assert said.status == 0, said.err
        assert said.json["model"] == " | ".join(models)
        assert samples(one) + samples(two) == 6
    assert cogitate("replay", "run.jsonl", "--json").json["answer"] == said.json["answer"]


def test_a_server_that_dies_loses_no_answer(cogitate: Command) -> None:
    with running(fault="500") as dead, running() as alive:
        Path("cogitate.toml").write_text(
            f"[roles]\npolicy = ['openai:{dead.url}#toy', 'openai:{alive.url}#toy']\n"
        )
        for strategy in (VOTE.format(n=4), "beam_search(width=2, branch=2, scorer=judge())"):
            said = cogitate("solve", COUNT, "--strategy", strategy, "--kind", "text", "--json")
            assert said.status == 0, said.err
            assert said.json["answer"] is not None
        assert samples(alive) > 4


def test_a_server_that_is_down_at_the_start_is_left_alone(cogitate: Command) -> None:
    with running() as alive:
        both = f"openai:{closed_port()}#toy | openai:{alive.url}#toy"
        said = cogitate("solve", COUNT, "--model", both, "--kind", "text")
        assert said.status == 0, said.err
        assert "was left alone once and does not answer" in said.err


def test_all_servers_down_is_one_sentence(cogitate: Command) -> None:
    both = f"openai:{closed_port()}#toy | openai:{closed_port()}#toy"
    assert "cannot be reached" in cogitate.refused("solve", COUNT, "--model", both)
    with running(fault="503") as one, running(fault="503") as two:
        models = f"openai:{one.url}#toy | openai:{two.url}#toy"
        said = cogitate(
            *("solve", COUNT, "--model", models, "--strategy", VOTE.format(n=2), "--kind", "text")
        ).sentence
    assert "no answer" in said
    assert "503" in said


def test_what_cannot_stand_in_is_refused(cogitate: Command) -> None:
    assert "only servers can stand in" in cogitate.refused(
        "solve", "?", "--model", "fake | smollm2"
    )
    with running() as one, running(model="other") as two, running(dialect="sglang") as three:
        urls = [f"openai:{s.url}#{s.does.model}" for s in (one, two, three)]
        said = cogitate.refused("solve", COUNT, "--model", " | ".join(urls[:2]))
        assert "they serve 'toy' and 'other'" in said
        said = cogitate.refused("solve", COUNT, "--model", f"{urls[0]} | {urls[2]}")
        assert "one is vllm and one sglang" in said


def test_specs_of_several_servers_read_back(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text(
        "[aliases]\nfleet = 'openai:http://a/v1#m | one'\n"
        "[endpoints.one]\nbase_url = 'http://b/v1'\nmodel = 'm'\n"
        "[roles]\njudge = ['fleet', 'openai:http://c/v1#m']\n"
    )
    held = load(path, environment={})
    found = named(["openai:http://a/v1#m", "one"], held)
    assert found.specs == {
        "policy": "openai:http://a/v1#m | one",
        "judge": "fleet | openai:http://c/v1#m",
    }
    assert named(json.loads(json.dumps(found.specs)), held) == found
    path.write_text("[roles]\njudge = []\n")
    with pytest.raises(InvalidInput, match=r"roles\.judge"):
        load(path, environment={})

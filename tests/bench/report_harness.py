"""Runs made by hand, for tests of their reports."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator
from typing import Any

from cogitate.bench.results import Cell, Drawn, Found, Key, Outcome, Pool, Timing
from cogitate.core.usage import Budget, Usage

HOSTILE = (
    "</script><script>window.hacked = 1</script>",
    "<img src=x onerror='window.hacked = 2'>",
    "left\u202eright\ud800\x1b[31m\x00",
    "a | b ` c [x](javascript:alert(1)) <b>&amp; ```\n# heading\n",
    "\"'--><!--",
)
SIZES = (1, 2, 4, 8)
LINES = ("self_consistency(n={n})", "best_of(n={n}, scorer=prm())")


def outcome(question: str, right: bool, n: int, text: str = "") -> Outcome:
    """One answer, with the usage of n samples by two roles."""
    spent = {"policy": Usage(tokens_in=20 * n, tokens_out=40 * n, calls=n)}
    spent["verifier"] = Usage(tokens_in=60 * n, calls=n)
    missed = n > 2 and question.endswith(("1", "3", "7"))  # a right one is there and not chosen
    held = n * right or int(missed)
    said = text or ("42" if right else "41")
    return Outcome(question, said, right, usage=spent, candidates=n, candidates_correct=held)


def made_run(
    questions: int = 30,
    *,
    task: str = "sums",
    seconds: float = 1.0,
    hostile: bool = False,
    seed: int = 0,
) -> Found:
    """Two lines at four N; the second is better by a known share of questions."""
    draw = random.Random(seed)
    levels = [draw.random() for _ in range(questions)]
    cells: list[Cell] = []
    for line_number, line in enumerate(LINES):
        for n in SIZES:
            reach = 0.25 + 0.08 * n + 0.15 * line_number * (n > 1)
            held = tuple(
                outcome(_name(i, hostile), level < reach, n, _text(i) if hostile else "")
                for i, level in enumerate(levels)
            )
            key = Key(_task(task, hostile), "small", line.replace("{n}", str(n)), Budget(), 0)
            cells.append(Cell(key, held, line, n))
    card = {
        "name": "hand" if not hostile else HOSTILE[0],
        "package": "0",
        "tasks": [{"name": task, "licence": "MIT", "rows": questions, "source": HOSTILE[1]}],
        "models": [{"label": "small", "specs": "sim:chain", "fingerprints": {"policy": "abc"}}],
        "seeds": [0],
    }
    timing = Timing({"host": f"machine {seconds}"}, {"cell": seconds})
    return Found(card, tuple(cells), (), timing)


def made_pool(questions: int = 12, samples: int = 8) -> Pool:
    """A pool with one scorer that knows a little."""
    draw = random.Random(3)
    drawn: list[Drawn] = []
    for i in range(questions):
        right = tuple(draw.random() < 0.5 for _ in range(samples))
        scores = tuple(draw.random() + r for r in right)
        drawn.append(
            Drawn(
                f"q{i}",
                tuple(0 if r else 1 + j % 2 for j, r in enumerate(right)),
                right,
                (30,) * samples,
                (False,) * samples,
                {"prm()": scores},
                20,
                {"prm()": Usage(tokens_in=400, calls=samples)},
            )
        )
    return Pool("sums", "small", 0, tuple(drawn), "answer()")


def made_journals(
    key: Key, questions: Collection[str]
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A tree of two levels a question, with hostile texts."""
    for question in questions:
        yield (
            question,
            [
                *_grown("0", "a", "", "first step " + HOSTILE[0]),
                *_grown("1", "b", "", "another start " + HOSTILE[1]),
                {"kind": "note", "at": "#2", "ask": "scored", "value": {"ids": ["a", "b"], "values": [0.9, 0.2]}},
                {"kind": "note", "at": "#3", "ask": "pruned", "value": {"ids": ["b"]}},
                *_grown("4", "c", "a", HOSTILE[2], done=True),
                {"kind": "note", "at": "#5", "ask": "chosen", "value": {"ids": ["c"]}},
                {"kind": "note", "at": "#6", "ask": "decided", "value": {"why": HOSTILE[0]}},
            ],
        )  # fmt: skip


def _grown(
    place: str, id: str, parent: str, text: str, *, done: bool = False
) -> list[dict[str, Any]]:
    at = f"0/{place}"
    data = {"id": id, "parent": parent, "depth": 0, "done": done}
    return [
        {"kind": "reply", "at": f"{at}#0", "ask": "Generate", "role": "policy", "value": {"text": text}},
        {"kind": "note", "at": f"{at}#1", "ask": "expanded", "value": data},
    ]  # fmt: skip


def made_texts(task: str, ids: Collection[str]) -> dict[str, tuple[str, str | None]]:
    """Questions with hostile texts."""
    return {id: (f"What is {id}? {HOSTILE[0]}", HOSTILE[3]) for id in ids}


def _name(i: int, hostile: bool) -> str:
    return f"q{i}" if not hostile else f"{HOSTILE[i % len(HOSTILE)]}{i}"


def _task(task: str, hostile: bool) -> str:
    return task + HOSTILE[1] if hostile else task


def _text(i: int) -> str:
    return HOSTILE[i % len(HOSTILE)]

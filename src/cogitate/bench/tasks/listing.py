"""What tasks there are, for people: with their licence, and whether their data are here."""

from __future__ import annotations

import tomllib
from dataclasses import asdict, dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from .files import located
from .generated import PLAIN, worlds
from .registry import data_folder, definitions


@dataclass(frozen=True, slots=True)
class Listed:
    """One task of the package."""

    name: str
    title: str
    kind: str
    rows: int
    metric: str
    licence: str
    source: str
    file: str
    """Below the folder of data."""
    found: bool
    """Whether the file is there; its checksum is verified when the task is used."""

    def row(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Made:
    """One way of making tasks."""

    spec: str
    """With its arguments and their defaults."""
    summary: str


@dataclass(frozen=True, slots=True)
class WithoutTask:
    """Data that are no task, and why."""

    folder: str
    licence: str
    why: str


def listed(directory: Path | None = None) -> tuple[Listed, ...]:
    """The tasks that ship with the package, and which of their data are here.

    >>> {task.name for task in listed()} >= {"gsm8k", "humaneval", "game24"}
    True
    """
    folder = data_folder(directory)
    return tuple(
        Listed(
            made.name,
            made.title,
            made.kind,
            made.data.rows,
            made.metric,
            made.licence,
            made.source,
            made.data.file,
            folder is not None and located(folder / made.data.file) is not None,
        )
        for made in definitions().values()
    )


def made_tasks() -> tuple[Made, ...]:
    """The ways of making tasks: generators, worlds, pools, and what comes from elsewhere."""
    plain = [Made(factory.signature, factory.summary) for factory in PLAIN.values()]
    held = worlds()
    shapes = [
        Made(f"world:{held[name].signature}", held[name].summary)
        for name in ("tree", "bandit", "pairs")
    ]
    chain = Made(
        f"world:{held['medium'].signature.replace('medium', 'PRESET')}", held["medium"].summary
    )
    return (
        *plain,
        chain,
        *shapes,
        Made("pool:NAME", "The questions that a recorded pool holds, for selection on what it recorded."),
        Made(
            'gym:NAME(size=100, seed=0, answers="text")',
            "Questions of reasoning-gym (extra gym), graded by its own scorer; refused where that may run what a model wrote.",
        ),
        Made(
            "hf:OWNER/NAME(file=…, revision=…, sha256=…, answers=…, question=…, answer=…)",
            "One file of a data hub at one commit (extra data), from the hub or its folder on this machine.",
        ),
        Made("PATH.toml", "A task file of your own, beside its data."),
    )  # fmt: skip


@cache
def without_task() -> tuple[WithoutTask, ...]:
    """The data sets that are no task, and why."""
    file = resources.files("cogitate.bench.tasks").joinpath("without_task.toml")
    raw = tomllib.loads(file.read_text(encoding="utf-8"))
    return tuple(WithoutTask(**one) for one in raw["data"])

"""From what is asked to a run folder: models opened and data read once, and an older run compared, before any cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, cast

from cogitate.assembly import Opened, opened
from cogitate.assembly.planning import check_served, check_units
from cogitate.core.errors import Failed, InvalidInput
from cogitate.core.events import Answered, Event
from cogitate.core.prompt import Prompt
from cogitate.core.requests import Embed, Loglikelihood, Request
from cogitate.drive import Stop, run

from .asking import Purse
from .folder import RUN, Entry, Folder
from .laying import Job, Laid
from .remembering import Memory
from .serving import serving
from .working import asking_of


async def check(laid: Laid) -> dict[str, dict[str, str]]:
    """Read every question once and open every model once; the fingerprints of the models by label.

    Raises:
        InvalidInput: for a row of the data that is not as it should be, a model that cannot be opened, a budget
            in a unit that nobody counts, a scorer that nobody serves, and more samples than were recorded.
    """
    for benchmark in laid.benchmarks.values():
        benchmark.check()
    prints: dict[str, dict[str, str]] = {}
    for label, models in laid.models.items():
        jobs = [job for job in laid.jobs if job.entry.model == label]
        try:
            async with opened(models, laid.configuration, keep_all=True) as held:
                prints[label] = held.fingerprints
                _check_units(laid, jobs, held)
                for job in jobs:
                    _check_job(job, held)
                if any(hasattr(engine, "deal") for engine in held.router.engines):
                    await _rehearse(laid, jobs, held)
        except Failed as error:
            raise InvalidInput(f"the model {label} cannot be opened: {error}") from None
    return prints


def _check_units(laid: Laid, jobs: Sequence[Job], held: Opened) -> None:
    for budget in dict.fromkeys((laid.grid.budget, *(job.entry.budget for job in jobs))):
        if budget.seconds is not None:
            raise InvalidInput(
                "a budget in seconds was asked for; a benchmark that depends on how busy a machine is cannot "
                "be repeated: bound tokens_out or calls"
            )
        check_units(budget, held)


_NEEDED: Final[Mapping[str, Request[Any]]] = MappingProxyType(
    {
        "medoid": Embed(("?",)),
        "clusters": Embed(("?",)),
        "p_true": Loglikelihood(Prompt.raw("?"), ("?",)),
    }
)
"""What scorers ask that most models do not serve."""


def _check_job(job: Job, held: Opened) -> None:
    try:
        check_served(job.what, held)
        for part in job.what.parts():
            if part.name in _NEEDED:
                _ = held.router.choose(_NEEDED[part.name])
    except (Failed, InvalidInput) as error:
        raise InvalidInput(f"{job.row}, {str(job.what)!r}: {error}") from None
    if job.entry.kind != "pool":
        return
    for engine in held.router.roles["policy"]:
        recorded = getattr(engine, "samples_each", None)
        if recorded is not None and job.samples > recorded:
            raise InvalidInput(
                f"{job.row} asks for {job.samples} samples a question, but {job.entry.model} has recorded "
                f"{recorded}; ask for at most {recorded}"
            )


async def _rehearse(laid: Laid, jobs: Sequence[Job], held: Opened) -> None:
    """Try every line on its first question: recorded answers cannot do all things, and cost nothing."""
    lines: dict[tuple[str, str, str], Job] = {}
    for job in jobs:
        lines.setdefault((job.benchmark.name, job.row, job.entry.kind), job)
    for job in lines.values():
        serve = serving(held.router, held.models, job, Memory(), laid.configuration, Stop())
        async with serve as ready:
            if not ready.at_once:
                continue
            heard = Unable()
            flow = _first(job)
            try:
                value: dict[str, Any] = run(flow, ready.router, listen=heard).value
            except Failed as failure:
                value, heard.reason = {}, heard.reason or failure.reason
            unscored = all(row[2] is None for row in value.get("ranking", ()))
            if heard.reason and unscored:
                raise InvalidInput(
                    f"{job.row}, {str(job.what)!r}: {job.entry.model} cannot do this: {heard.reason}"
                )


async def _first(job: Job) -> Any:
    item = next(iter(job.benchmark.questions(1)))
    return await asking_of(job, Purse(), keeps_failures=True)(0, item)


@dataclass
class Unable:
    """Hears why a model cannot do what it is asked; mutable, because it listens."""

    reason: str = ""

    def __call__(self, event: Event) -> None:
        """Note the first failure that no repetition mends."""
        outcome = event.outcome if isinstance(event, Answered) else None
        if isinstance(outcome, Failed) and outcome.kind in ("unsupported", "unserved", "missing"):
            self.reason = self.reason or outcome.reason


def begin(
    path: Path, laid: Laid, prints: Mapping[str, Mapping[str, str]], *, add: bool = False
) -> Folder:
    """The run folder for a grid: new, or one that holds a part of it.

    Args:
        path: of the folder.
        laid: what is wanted.
        prints: fingerprints of the models.
        add: keep what the folder holds beyond this grid; otherwise the grid must name all of it.

    Raises:
        InvalidInput: where the folder holds another grid; says what differs.
    """
    made = Folder(
        path, laid.card(prints), tuple(job.entry for job in laid.jobs), laid.grid.to_json()
    )
    if not (path / RUN).exists():
        if path.exists() and any(path.iterdir()):
            raise InvalidInput(
                f"{path} holds files, but no {RUN}; name a folder that is empty, or one of an earlier run"
            )
        made.write()
        return made
    old = Folder.open(path)
    differences = [*_changed(old, made), *([] if add else _missing(old, made))]
    if differences:
        more = f" (and {len(differences) - 1} other differences)" if len(differences) > 1 else ""
        raise InvalidInput(
            f"{path} holds another grid: {differences[0]}{more}; name another folder"
        )
    if add:
        made = _together(old, made)
    made.write()
    return made


def _changed(old: Folder, new: Folder) -> list[str]:
    """What has one name in both and is not the same."""
    found: list[str] = []
    was = {task["name"]: task for task in old.card["tasks"]}
    for task in new.card["tasks"]:
        before = was.get(task["name"])
        if before is None:
            continue
        if before["checksum"] != task["checksum"]:
            found.append(f"the data of {task['name']} have changed since")
        elif before["asked"] > task["asked"]:
            found.append(
                f"it asks {before['asked']} questions of {task['name']}, and this grid {task['asked']}"
            )
    models = {model["label"]: model for model in old.card["models"]}
    for model in new.card["models"]:
        before = models.get(model["label"], model)
        found += [
            f"the model {model['label']} was {before[what]}, and is {model[what]}"
            for what in ("specs", "fingerprints")
            if before[what] != model[what]
        ]
    prompts = cast("dict[str, str]", old.card["prompts"])
    changed = [n for n, d in new.card["prompts"].items() if prompts.get(n, d) != d]
    if changed:
        found.append(f"the prompt {changed[0]} has changed since")
    return found


def _missing(old: Folder, new: Folder) -> list[str]:
    """What the folder holds and the grid does not name."""
    files = {entry.file for entry in new.entries}
    return [
        f"it has the {entry.kind} {_named(entry)}, which this grid does not name (to add to the folder and "
        "keep that, give --add)"
        for entry in old.entries
        if entry.file not in files
    ]


def _named(entry: Entry) -> str:
    budget = f" within {entry.budget}" if entry.budget.bounds() else ""
    return f"{entry.spec} on {entry.task} with {entry.model}, seed {entry.seed}{budget}"


def _together(old: Folder, new: Folder) -> Folder:
    """Both, in the order of the older one."""
    latest = {entry.file: entry for entry in (*old.entries, *new.entries)}
    card = dict(new.card)
    for name, key in (("tasks", "name"), ("models", "label")):
        held = {part[key]: part for part in (*old.card[name], *new.card[name])}
        card[name] = list(held.values())
    for name in ("strategies", "budgets", "pools", "seeds"):
        card[name] = _union(old.card[name], new.card[name])
    card["name"] = old.card["name"]
    return Folder(new.path, card, tuple(latest.values()), new.grid)


def _union(one: Sequence[Any], other: Sequence[Any]) -> list[Any]:
    found = list(one)
    found += [value for value in other if value not in found]
    return found

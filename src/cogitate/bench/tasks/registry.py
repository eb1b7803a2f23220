"""Finds tasks by name: those that ship with the package, those of the user, and generated ones."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Final, cast

from cogitate.assembly.factory import nearest
from cogitate.core.errors import InvalidInput

from .benchmark import Benchmark
from .definition import Definition, read_definition
from .files import located, sha256_of, unpacked
from .generated import PLAIN, from_pool, from_spec, worlds
from .graders import GRADERS
from .rows import items_of

SCHEMES: Final = ("gym", "hf", "pool", "world")
"""What may stand before a colon."""
VARIABLE: Final = "COGITATE_DATA"
"""The environment variable that names the user's folder of data."""


@cache
def definitions() -> dict[str, Definition]:
    """The tasks that ship with the package, by name; their data do not."""
    folder = resources.files("cogitate.bench.tasks").joinpath("definitions")
    files = [f for f in folder.iterdir() if f.name.endswith(".toml")]
    made = [read_definition(file) for file in files]
    return {found.name: found for found in sorted(made, key=lambda one: one.name)}


def names() -> tuple[str, ...]:
    """The names of the tasks that ship with the package."""
    return tuple(definitions())


def find(name: str, *, directory: Path | None = None, any_version: bool = False) -> Benchmark:
    """A task by its name or spec, ready to ask.

    Args:
        name: a task of the package such as `gsm8k`, the path of a task file, or a spec: `word_problems(difficulty=3)`,
            `world:hard(problems=1000)`, `pool:NAME`, `gym:NAME(size=100)`, `hf:OWNER/NAME(file=…, revision=…)`.
        directory: the user's folder of data; by default the one that `COGITATE_DATA` or the configuration names.
        any_version: take data whose checksum is another than the task's; the card says which.

    Raises:
        InvalidInput: for an unknown task, and for data that are missing, changed or not as they should be.
        Failed: where a hub cannot be reached.

    >>> find("world:hard(problems = 3, seed=1)").name
    'world:hard(problems=3, seed=1)'
    >>> len(list(find("countdown(problems=5)").questions(2)))
    2
    """
    wanted = name.strip()
    if wanted.endswith(".toml"):
        return read(Path(wanted), any_version=any_version)
    scheme, colon, rest = wanted.partition(":")
    if colon and scheme.isidentifier():
        return _by_scheme(scheme, rest.strip(), any_version=any_version)
    if wanted.partition("(")[0].strip() in PLAIN:
        return from_spec(wanted, PLAIN)
    known = definitions()
    if wanted not in known:
        raise InvalidInput(f"there is no task {wanted[:80]!r}{nearest(wanted, [*known, *PLAIN])}")
    return opened(known[wanted], directory, any_version=any_version)


def _by_scheme(scheme: str, rest: str, *, any_version: bool) -> Benchmark:
    match scheme:
        case "world":
            return from_spec(rest, worlds(), "world:")
        case "pool":
            return from_pool(rest)
        case "gym":
            from .gym import from_gym

            return from_gym(rest)
        case "hf":
            from .hub import from_hub

            return from_hub(rest, any_version=any_version)
        case _:
            raise InvalidInput(
                f"there is no task {scheme[:40]}:…{nearest(scheme, SCHEMES)}; a task file ends in .toml"
            )


def read(path: Path, *, any_version: bool = False) -> Benchmark:
    """The task of a task file; every row is read once, so that what is wrong is found now.

    Raises:
        InvalidInput: by file, line and field.
    """
    return opened(read_definition(path, path.parent), any_version=any_version)


def opened(
    made: Definition, directory: Path | None = None, *, any_version: bool = False
) -> Benchmark:
    """A definition with its data, whose checksum is verified.

    Raises:
        InvalidInput: for data that are missing or changed.
    """
    file = data_file(made, made.data.file, directory)
    checksum = _verified(made, file, made.data.sha256, any_version=any_version)
    ids = _ids(made, directory, any_version=any_version)
    changed = bool(made.data.sha256) and checksum != made.data.sha256
    rows = 0 if changed else made.data.rows
    note = made.note
    if changed:
        note = f"{note} The data are another version than the task's.".strip()
    return Benchmark(
        name=made.name,
        kind=made.kind,
        rows=rows or sum(1 for _ in items_of(made, file, ids)),
        items=lambda: items_of(made, file, ids),
        grader=GRADERS[made.grader],
        licence=made.licence,
        source=made.source,
        checksum=checksum,
        metric=made.metric,
        preset=made.preset,
        prompt=made.prompt,
        title=made.title,
        citation=made.citation,
        note=note,
    )


def data_file(made: Definition, file: str, directory: Path | None = None) -> Path:
    """Where a file of the data lies.

    Raises:
        InvalidInput: where it is not there, with how to get it.
    """
    folder = made.base if made.base is not None else data_folder(directory)
    if folder is None:
        raise InvalidInput(
            f"the task {made.name} needs its data: put {file} into a folder and set {VARIABLE} to that "
            f"folder; it comes from {made.source or 'elsewhere'}"
        )
    found = located(folder / file)
    if found is None:
        raise InvalidInput(
            f"the task {made.name} needs {file}, which is not in {folder}; get it from "
            f"{made.source or 'its source'}, or set {VARIABLE} to the folder that holds it"
        )
    return found


def data_folder(directory: Path | None = None) -> Path | None:
    """The user's folder of data: given, or of the environment or configuration."""
    if directory is not None:
        return directory
    from cogitate.assembly import load

    return load().data_directory


def _verified(made: Definition, file: Path, wanted: str, *, any_version: bool) -> str:
    found = sha256_of(file)
    if wanted and found != wanted and not any_version:
        raise InvalidInput(
            f"{file.name} was expected with the SHA-256 {wanted} and found with {found}: the data of "
            f"{made.name} have changed; get the right version ({made.source or 'see its source'}), or "
            "take this one with --any-version"
        )
    return found


def _ids(made: Definition, directory: Path | None, *, any_version: bool) -> frozenset[str] | None:
    if not made.data.ids:
        return None
    file = data_file(made, made.data.ids, directory)
    _verified(made, file, made.data.ids_sha256, any_version=any_version)
    try:
        with unpacked(file) as content:
            held: Any = json.loads(content.read())
    except (EOFError, OSError, ValueError) as problem:
        raise InvalidInput(f"{file.name}: ids were expected ({problem})") from problem
    if not isinstance(held, dict | list):
        raise InvalidInput(f"{file.name}: a JSON object or list of ids was expected")
    return frozenset(str(key) for key in cast("dict[str, Any] | list[Any]", held))

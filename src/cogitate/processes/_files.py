"""Prompts as files beside the processes, read when first used."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cache
from string import Template
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

_ROOM = "cogitate.processes"
_FOLDER = "prompts"


@cache
def template(name: str) -> Template:
    """The prompt of this name, such as `answer/number`."""
    at = _root().joinpath(*f"{name}.txt".split("/"))
    return Template(at.read_text(encoding="utf-8").rstrip("\n"))


def fill(name: str, **values: str) -> str:
    """The prompt of this name with its placeholders filled; values are taken word for word."""
    return template(name).substitute(values)


@cache
def file_digests() -> dict[str, str]:
    """Every prompt file of this room by name, with the SHA-256 of its bytes."""
    found = {
        name: hashlib.sha256(file.read_bytes()).hexdigest()
        for name, file in _walk(_root(), _FOLDER)
    }
    return dict(sorted(found.items()))


def _root() -> Traversable:
    from importlib import resources

    return resources.files(_ROOM).joinpath(_FOLDER)


def _walk(folder: Traversable, path: str) -> Iterator[tuple[str, Traversable]]:
    for item in folder.iterdir():
        name = f"{path}/{item.name}"
        if item.is_dir():
            yield from _walk(item, name)
        elif item.name.endswith(".txt"):
            yield name, item

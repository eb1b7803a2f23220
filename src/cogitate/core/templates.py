"""Prompts as files: `prompts/NAME.txt` beside the room that uses them, read when first used."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cache
from string import Template
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

_FOLDER = "prompts"


@cache
def template(room: str, name: str) -> Template:
    """The prompt of this name in a room, such as `answer/number` in `processes`."""
    at = _folder(room).joinpath(*f"{name}.txt".split("/"))
    return Template(at.read_text(encoding="utf-8").rstrip("\n"))


@cache
def digests(room: str) -> dict[str, str]:
    """Every prompt file of a room by its path in it, with the SHA-256 of its bytes; run cards list them."""
    folder = _folder(room)
    if not folder.is_dir():
        return {}
    found = {
        name: hashlib.sha256(file.read_bytes()).hexdigest() for name, file in _walk(folder, _FOLDER)
    }
    return dict(sorted(found.items()))


def _folder(room: str) -> Traversable:
    from importlib import resources

    return resources.files("cogitate").joinpath(room, _FOLDER)


def _walk(folder: Traversable, path: str) -> Iterator[tuple[str, Traversable]]:
    for item in folder.iterdir():
        name = f"{path}/{item.name}"
        if item.is_dir():
            yield from _walk(item, name)
        elif item.name.endswith(".txt"):
            yield name, item

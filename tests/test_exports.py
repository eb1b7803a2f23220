"""Every room's `__init__` is its shop window: a sorted `__all__` of names that exist."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

import cogitate

ROOMS = sorted(p.parent.name for p in Path(cogitate.__file__).parent.glob("*/__init__.py"))


def window_order(name: str) -> tuple[bool, bool, str]:
    """Constants, then classes, then functions: the order that the linter keeps."""
    return (not name.isupper(), not name[0].isupper(), name)


@pytest.mark.parametrize("name", ["", *(f".{room}" for room in ROOMS)])
def test_shop_window(name: str) -> None:
    module = importlib.import_module(f"cogitate{name}")
    assert module.__doc__, f"cogitate{name} does not say what it is"
    names = getattr(module, "__all__", None)
    if names is None:
        pytest.skip("a room whose modules are imported one by one")
    assert list(names) == sorted(names, key=window_order)
    assert len(set(names)) == len(names)
    for exported in names:
        assert getattr(module, exported) is not None

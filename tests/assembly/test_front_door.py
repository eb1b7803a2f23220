from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import cogitate as cg
import cogitate.assembly

EMPTY = Path(os.devnull)


@pytest.mark.parametrize("room", [cg, cogitate.assembly], ids=["cogitate", "assembly"])
def test_everything_in_the_shop_window_is_there(room: object) -> None:
    names: list[str] = room.__all__  # type: ignore[attr-defined]
    assert len(set(names)) == len(names)
    for name in names:
        assert getattr(room, name) is not None
    assert set(names) <= set(dir(room))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'slove'"):
        cg.slove  # noqa: B018


def loaded(code: str) -> set[str]:
    shown = f"import sys; {code}; print(' '.join(sys.modules))"
    own = {**os.environ, "COGITATE_CONFIG": str(EMPTY)}
    done = subprocess.run(
        [sys.executable, "-c", shown], capture_output=True, text=True, check=True, env=own
    )
    return set(done.stdout.split())


def test_importing_the_package_imports_almost_nothing() -> None:
    modules = loaded("import cogitate")
    assert {m for m in modules if m.startswith("cogitate")} == {"cogitate"}
    assert not modules & {"asyncio", "numpy", "aiohttp", "rich", "typing_extensions"}


def test_reading_a_spec_needs_no_heavy_module() -> None:
    modules = loaded("import cogitate as cg; cg.read('best_of(n=4, scorer=judge())')")
    assert not modules & {"numpy", "aiohttp", "rich", "xllamacpp", "math_verify", "pydantic"}


def test_solving_with_the_fake_needs_no_heavy_module() -> None:
    modules = loaded("import cogitate as cg; cg.solve('What is 2 + 2?', model='fake')")
    assert not modules & {"aiohttp", "rich", "xllamacpp", "pydantic"}

"""Each claim file's fault, planted in a copy of the package, must turn its claims red."""

from __future__ import annotations

from pathlib import Path

import pytest

from cogitate.claims import claim_file, names, planted


@pytest.mark.timeout(600)
@pytest.mark.parametrize("id", list(names()))
def test_the_fault_turns_its_claims_red(id: str, tmp_path: Path) -> None:
    found = claim_file(id)
    assert found is not None
    seen = planted(found, tmp_path)
    red = {claim["name"] for claim in seen["claims"] if claim["outcome"] == "regressed"}
    assert set(found.fault.breaks) <= red
    assert seen["exit"] == 1

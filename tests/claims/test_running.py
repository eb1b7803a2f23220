from __future__ import annotations

import json
from pathlib import Path

import pytest

from cogitate.claims import (
    Check,
    Claim,
    ClaimFile,
    Fault,
    Observed,
    Recorded,
    Setting,
    asked,
    claim_file,
    exact,
    names,
    patched,
    planned,
    reproduce,
    run_check,
    statistical,
    status_of,
    whole_record,
    write,
)
from cogitate.core.errors import InvalidInput

HELD = Recorded("c", "inference", "exact", "holds")
KNOWN = Recorded("c", "inference", "statistical", "does_not_hold", reason="the world is too easy")


def always(holds: bool) -> Check:
    return exact("c", "it holds", items=(1,))(lambda setting: Observed(holds, "seen"))


def compared(run: object, **changed: object) -> Check:
    values: dict[str, object] = {"preset": "real", "null": "null", "rejects": "no difference"}
    made = statistical("c", "a beats b", items=(2,), **values | changed)
    return made(run)


def test_what_holds_holds() -> None:
    claim = run_check(always(True))
    assert (claim.outcome, claim.observed, claim.reason) == ("holds", "seen", "")


def test_an_exact_claim_that_fails_has_regressed_unless_it_is_a_known_negative() -> None:
    assert run_check(always(False)).outcome == "regressed"
    assert run_check(always(False), HELD).outcome == "regressed"
    known = run_check(always(False), KNOWN)
    assert (known.outcome, known.reason) == ("does_not_hold", "the world is too easy")
    assert run_check(always(True), KNOWN).outcome == "holds"


def test_a_statistical_claim_that_fails_is_a_negative_unless_it_held_before() -> None:
    fails = compared(lambda setting: Observed(False, "0.1 [-0.1, 0.3]"))
    assert run_check(fails).outcome == "does_not_hold"
    assert run_check(fails, HELD).outcome == "regressed"


def test_a_claim_that_holds_in_its_null_world_too_does_not_hold() -> None:
    settings: list[Setting] = []

    def run(setting: Setting) -> Observed:
        settings.append(setting)
        return Observed(True, f"seen in {setting.preset}")

    claim = run_check(compared(run), quick=True)
    assert claim.outcome == "does_not_hold"
    assert claim.reason == "it holds in the null preset 'null' too: seen in null"
    assert [s.preset for s in settings] == ["real", "null"]
    apart = compared(lambda setting: Observed(setting.preset == "real", ""))
    assert run_check(apart, quick=True).outcome == "holds"


def test_the_region_is_explored_at_the_full_size_only() -> None:
    check = compared(
        lambda setting: Observed(
            setting.preset == "real" and setting.changes.get("auc", 0.9) > 0.6, ""
        ),
        region=({"auc": 0.5}, {"auc": 0.7}),
    )
    assert run_check(check, quick=True).region == ()
    assert run_check(check, quick=False).region == (("auc=0.5", False), ("auc=0.7", True))


def test_a_check_that_breaks_down_is_no_pass() -> None:
    def broken(setting: Setting) -> Observed:
        raise ZeroDivisionError("by nought")

    claim = run_check(compared(broken))
    assert claim.outcome == "regressed"
    assert "ZeroDivisionError: by nought" in claim.reason


def test_senseless_checks_are_refused() -> None:
    with pytest.raises(InvalidInput, match="no null and no rejects"):
        compared(lambda setting: Observed(True, ""), null="", rejects="")
    with pytest.raises(InvalidInput, match="does not say what is missing"):
        planned("c", "x", "", items=(1,))
    with pytest.raises(InvalidInput, match="names no point"):
        exact("c", "x", items=())(lambda setting: Observed(True, ""))
    with pytest.raises(InvalidInput, match="outside claims/"):
        Fault("claims/31_survey.py", "a", "b", ("c",))
    with pytest.raises(InvalidInput, match="changes nothing"):
        Fault("rules/votes.py", "a", "a", ("c",))


def test_sides_are_kept_apart() -> None:
    train = planned("t", "x", "training comes later", items=(3,), side="training")
    found = ClaimFile("01", (always(True), train), Fault("a.py", "a", "b", ("c",)))
    assert [c.outcome for c in reproduce(found, quick=True).claims] == ["holds", "planned"]
    only = reproduce(found, quick=True, side="training")
    assert [c.name for c in only.claims] == ["t"]
    assert not only.regressed
    assert [c.name for c in reproduce(found, quick=True, only=["t"]).claims] == ["t"]
    assert [c.name for c in reproduce(found, quick=True, only=["c", "t"]).claims] == ["c", "t"]


def test_a_record_is_written_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_text('{"31": []}')
    write(path, {"01": [run_check(always(True))]})
    assert json.loads(path.read_text()) == {
        "01": [
            {
                "name": "c",
                "side": "inference",
                "kind": "exact",
                "outcome": "holds",
                "observed": "seen",
                "reason": "",
            }
        ],
        "31": [],
    }
    with pytest.raises(InvalidInput, match="regressed"):
        write(path, {"01": [run_check(always(False))]})
    assert "holds" in path.read_text()


def test_a_fault_must_fit_the_code(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\ny = 1\n")
    patched(tmp_path, Fault("a.py", "x = 1", "x = 2", ("c",)))
    assert (tmp_path / "a.py").read_text() == "x = 2\ny = 1\n"
    with pytest.raises(InvalidInput, match="occurs 0 times"):
        patched(tmp_path, Fault("a.py", "x = 1", "x = 2", ("c",)))
    with pytest.raises(InvalidInput, match="occurs 2 times"):
        patched(tmp_path, Fault("a.py", " = ", " == ", ("c",)))


def test_papers_are_asked_for_by_any_name() -> None:
    assert [c.id for c in asked(["35", "compute-optimal", "1"])] == ["01", "35"]
    assert len(asked(["all"])) == 38
    with pytest.raises(InvalidInput, match="39"):
        asked(["39"])


@pytest.mark.parametrize("id", list(names()))
def test_the_record_fits_the_claim_files(id: str) -> None:
    """Every claim is on record, nothing else is, and every negative has a reading."""
    found = claim_file(id)
    assert found is not None
    known = whole_record()[id]
    assert [one.name for one in known] == [check.name for check in found.checks]
    for one in known:
        assert one.outcome != "regressed"
        assert one.reason or one.outcome == "holds", f"{id}: {one.name} has no reading"
    points = {item for check in found.checks for item in check.items}
    assert points == set(range(1, found.card.items + 1)), f"{id}: points without a claim"
    assert status_of(id) in ("works", "partly", "planned")


def test_a_claim_prints_what_applies() -> None:
    said = run_check(compared(lambda setting: Observed(False, "no", (0.0, 0.1), 9, (1,)))).as_json()
    assert said["interval"] == [0.0, 0.1]
    assert said["null"] == "null"
    assert "preset" not in run_check(always(True)).as_json()
    assert isinstance(run_check(always(True)), Claim)

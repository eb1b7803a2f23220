from __future__ import annotations

import pytest

from cogitate.core.errors import InvalidInput
from cogitate.recipes.taxonomy import _axis, axis, covers, taxonomy, tree_markdown

GOLDEN_LEAVES = {
    "what": 4,
    "how": 22,
    "where": 15,
    "how_well": 15,
    "allocation": 5,
    "acceleration": 3,
}


def test_leaf_counts_are_fixed() -> None:
    assert {name: len(known.leaves) for name, known in taxonomy().items()} == GOLDEN_LEAVES


def test_the_surveys_own_leaves_are_all_there() -> None:
    own = [p for p in axis("how").paths if p not in axis("how").added]
    assert own == [
        "tuning",
        "tuning/sft",
        "tuning/rl",
        "tuning/rl/reward_model_free",
        "tuning/rl/reward_model_based",
        "inference",
        *(
            f"inference/{p}"
            for p in (
                "stimulation",
                "stimulation/prompt",
                "stimulation/decode",
                "stimulation/latent",
                "stimulation/self_repetition",
                "stimulation/mixture_of_model",
                "verification",
                "verification/outcome",
                "verification/process",
                "search",
                "aggregation",
                "aggregation/selection",
                "aggregation/fusion",
            )
        ),
    ]


@pytest.mark.parametrize("name", list(GOLDEN_LEAVES))
def test_a_last_segment_is_never_ambiguous(name: str) -> None:
    known = axis(name)
    for path in known.paths:
        assert known.resolve(path) == path
        assert known.resolve(path.rsplit("/", 1)[-1]) == path


def test_an_unknown_tag_suggests_the_nearest() -> None:
    with pytest.raises(InvalidInput, match="did you mean 'inference/verification'"):
        axis("how").resolve("verificaton")
    with pytest.raises(InvalidInput, match="did you mean 'reasoning/math'"):
        axis("where").resolve("maths")
    with pytest.raises(InvalidInput, match="first level is tuning, inference"):
        axis("how").resolve("zzz")
    with pytest.raises(InvalidInput, match="no such path"):
        axis("how").resolve("")


def test_an_ambiguous_tag_is_named() -> None:
    doubled = _axis(
        "x", {"question": "?", "added": [], "paths": {"a": "", "a/c": "", "b": "", "b/c": ""}}
    )
    with pytest.raises(InvalidInput, match="a/c or b/c"):
        doubled.resolve("c")


def test_a_node_needs_its_parent_and_additions_must_exist() -> None:
    with pytest.raises(InvalidInput, match="no parent 'a'"):
        _axis("x", {"question": "?", "added": [], "paths": {"a/b": ""}})
    with pytest.raises(InvalidInput, match="no full path"):
        _axis("x", {"question": "?", "added": ["b"], "paths": {"a": ""}})


def test_prefixes_end_at_segments() -> None:
    assert covers("a/b", "a/b/c")
    assert covers("a/b", "a/b")
    assert not covers("a/b", "a/bc")
    assert not covers("a/b/c", "a/b")


def test_the_tree_prints_every_path() -> None:
    text = tree_markdown(axis("where"))
    assert len(text.splitlines()) == len(axis("where").paths)
    assert "  - `video_generation` (+): video" in text

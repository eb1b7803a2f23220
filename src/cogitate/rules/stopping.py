"""When a vote is decided before every sample is drawn."""

from __future__ import annotations

import math

from .votes import ClassVotes, Tally


def is_decided(tally: Tally, left: int) -> bool:
    """Whether a majority can no longer change, whatever the `left` outstanding votes say.

    The bound: the leader has a votes, a rival b, a class nobody has voted for yet 0. If all that is
    left goes to the rival, it ends with b + left. So the leader has won once a > b + left for every
    rival; or a = b + left, where the tie rule is known to favour the leader: with `canonical` against
    a rival seen with a higher number, with `first` against every later class. An unseen class, whose
    number nobody knows, may win a `canonical` tie, and any rival a tie by `score`.

    >>> from cogitate.rules.votes import majority
    >>> is_decided(majority([0, 0, 0, 1]), 1), is_decided(majority([0, 0, 1, 1]), 1)
    (True, False)
    """
    if not tally.standing:
        return left <= 0
    leader, *rivals = tally.standing
    if leader.votes < left or (leader.votes == left and tally.tie != "first"):
        return False  # a class nobody has seen yet could still win
    for rival in rivals:
        reach = rival.votes + left
        if reach > leader.votes:
            return False
        if reach == leader.votes and left > 0 and not _keeps_a_tie(tally, leader, rival):
            return False
    return True


def _keeps_a_tie(tally: Tally, leader: ClassVotes, rival: ClassVotes) -> bool:
    match tally.tie:
        case "canonical":
            return leader.label < rival.label
        case "first":
            return leader.first < rival.first
        case "score":
            return False


def posterior_lead(leader: int, runner_up: int) -> float:
    """How sure it is that the leader is more frequent than the runner-up in the long run.

    With a uniform prior on the leader's share p among the two, the posterior after a and b votes is
    Beta(a + 1, b + 1), and P(p > 1/2) is the chance of at most a heads in a + b + 1 fair tosses. This is
    exact and closed. It speaks of the model's preference, and not of what n votes will say.

    >>> posterior_lead(0, 0), posterior_lead(3, 0)
    (0.5, 0.9375)
    """
    tosses = leader + runner_up + 1
    return sum(math.comb(tosses, heads) for heads in range(leader + 1)) / 2**tosses


def further_votes(
    leader: int,
    runner_up: int,
    left: int,
    *,
    confidence: float | None = None,
    wins_ties: bool = False,
) -> int:
    """The fewest of the `left` votes after which the vote could be decided; 0 when it is decided now.

    Decided is meant exactly, or by `posterior_lead` at `confidence`, whichever comes first. No outcome
    of fewer votes can decide it, so a caller may draw that many more without waste, and need not count
    before they are in. Without `wins_ties` the lead must be strict.

    Args:
        leader: votes of the leading class; 0 when there is none.
        runner_up: votes of the next; 0 when there is none.
        left: votes still to come, abstentions included.
        confidence: stop also once the posterior reaches this; `None` for the exact bound only.
        wins_ties: whether the leader is known to win a tie.

    >>> further_votes(0, 0, 16), further_votes(6, 3, 7), further_votes(6, 3, 2)
    (9, 3, 0)
    >>> further_votes(0, 0, 16, confidence=0.95)
    4
    """
    behind = runner_up + left - leader
    exact = max(0, (behind + 1) // 2 if wins_ties else behind // 2 + 1)
    if confidence is not None:
        for more in range(min(exact, left)):
            if posterior_lead(leader + more, runner_up) >= confidence:
                return more
    return min(exact, left)

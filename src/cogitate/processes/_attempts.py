"""Earlier attempts as turns of the conversation: how a revision is worded, and what it remembers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from cogitate.core.candidates import Critique
from cogitate.core.prompt import Continuation, Prompt
from cogitate.core.task import Message

from ._files import fill

Piece = tuple[str, tuple[int, ...]]
"""A text of the model's with its token ids, where they are known."""


def told(critique: Critique, steps: int) -> str:
    """What the user says to an answer of so many steps; with nothing to say: look again."""
    said, step = critique.text.strip(), blamed(critique, steps)
    match (bool(said), step):
        case (False, None):
            return fill("again")
        case (False, int()):
            return fill("again_step", step=str(step + 1))
        case (True, None):
            return fill("revise", critique=said)
        case _:
            return fill("revise_step", critique=said, step=str((step or 0) + 1))


def blamed(critique: Critique, steps: int) -> int | None:
    """The first wrong step; `None` where none is blamed, or one that does not exist."""
    step = critique.first_error
    return step if step is not None and 0 <= step < steps else None


def asked_again(question: Prompt, prompt: Prompt, said: Sequence[Piece], told: str) -> Prompt:
    """The prompt of the next attempt: what was asked before, the answer to it, and what is said to that.

    A turn that the task began, begins the next attempt too. Only the new parts are hashed.
    """
    for text, ids in said:
        prompt = prompt.then(text, ids) if text else prompt
    if not prompt.prefill:  # two user turns in a row are refused by some chat templates
        prompt = prompt.then(fill("nothing"))
    begun = question.prefill
    again = prompt.turn(Message("user", told))
    return again.then(begun) if begun else again


def with_hint(prompt: Prompt, shown: str) -> Prompt:
    """The prompt with something more at the end of its last message; the begun turn stays as it is.

    A raw prompt, which has no messages, is shown it before its text.
    """
    pieces = prompt.continuations
    parts = prompt.base.parts()
    last = next((at for at in reversed(range(len(parts))) if isinstance(parts[at], Message)), None)
    if last is None:
        found = Prompt.raw(f"{shown}\n\n{prompt.text}")
    else:
        found: Prompt | None = None
        for at, part in enumerate(parts):
            if at == last and isinstance(part, Message):
                part = replace(part, content=f"{part.content}\n\n{shown}")
            found = Prompt(found, part)
        assert found is not None
    for piece in pieces:
        found = found.then(piece.text, piece.ids)
    return found


def shown(question: Prompt, parents: Sequence[str]) -> Prompt:
    """The prompt of a child: the first parent as one's own answer, the others quoted; equal ones once."""
    texts = list(dict.fromkeys(text.strip() for text in parents))
    own = next(text for text in parents if text.strip() == texts[0])
    quoted = [
        fill("attempt", number=str(number), text=text) for number, text in enumerate(texts[1:], 1)
    ]
    told = fill("combine", attempts="\n\n".join(quoted)) if quoted else fill("again")
    begun = question.prefill
    rest = own[len(begun) :] if own.startswith(begun) else own
    return asked_again(question, question, [(rest, ())], told)


def remembering(question: Prompt, prompt: Prompt, attempts: int) -> Prompt:
    """The prompt with the last so many earlier attempts; the same object where there are no more.

    Each attempt goes with what was said to it. The question stays.
    """
    parts = [node.part for node in prompt.chain() if node.depth > question.depth]
    parts.reverse()
    ends = [at + 1 for at, part in enumerate(parts) if isinstance(part, Message)]
    if len(ends) <= attempts:
        return prompt
    start = ends[len(ends) - attempts - 1]
    kept, begun = question, parts[start:]
    if question.prefill and begun and isinstance(begun[0], Continuation):
        begun = begun[1:]  # the question begins the turn already
    for part in begun:
        kept = Prompt(kept, part)
    return kept

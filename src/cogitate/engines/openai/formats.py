"""What each family of reward models reads and says: frozen formats, one for each way of asking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final, Literal, Self

from cogitate.core.errors import Failed, InvalidInput
from cogitate.core.prompt import Prompt
from cogitate.core.requests import Request, ScoreSteps
from cogitate.core.task import Message
from cogitate.core.usage import ZERO

Ask = Literal["classify", "labels", "pooling", "rerank", "score", "tokens"]
"""How a server is asked: one class vector for a text; the next token's labels; a row for each marker; a
reranker; a pair of texts; a row for each token."""

Reading = Literal["probability", "softmax", "sigmoid", "raw"]
"""What a row of numbers is: probabilities of classes, logits of classes, one logit, one score as it is."""


@dataclass(frozen=True, slots=True)
class Format:
    r"""How a question and its steps become the input of a reward model, and where its scores stand.

    >>> FORMATS["math-shepherd-pooling"].text("1 + 1?", ("It is 2.", "Done."))
    '1 + 1? It is 2. ки\nDone. ки'
    """

    name: str
    ask: Ask
    reading: Reading
    about: str
    """One line for people."""
    before: str = ""
    """Stands before the question."""
    between: str = ""
    """Stands between the question and the first step."""
    marker: str = ""
    """Stands after each step; the score of a step is read there."""
    joint: str = ""
    """Stands between a marker and the next step."""
    after: str = ""
    """Stands at the end."""
    labels: tuple[str, str] | None = None
    """The label of a good step, then that of a bad one; for `labels`."""
    chat: bool = False
    """Whether the model reads chat turns, which its server renders."""
    one_line: bool = False
    """Whether a line end inside a step becomes a space."""
    index: int | None = None
    """The class that means good; `None`: there is one class."""
    reserved: tuple[str, ...] = ()
    """What no question and no step may contain, because the model would read it as structure."""

    @property
    def steps(self) -> bool:
        """Whether it scores each step; else it scores a whole solution."""
        return self.ask in ("labels", "pooling", "tokens")

    def cleaned(self, steps: Sequence[str]) -> tuple[str, ...]:
        """The steps without surrounding space, and on one line where the model wants that."""
        return tuple(" ".join(s.split("\n")) if self.one_line else s for s in map(str.strip, steps))

    def text(self, question: str, steps: Sequence[str]) -> str:
        """The whole input as text."""
        said = self.joint.join(step + self.marker for step in steps)
        return self.before + question + self.between + said + self.after

    def prefixes(self, question: str, steps: Sequence[str]) -> list[str]:
        """One input a step, each ending at its marker: for a server that reads the last token only."""
        bare = replace(self, after="")
        return [bare.text(question, steps[: end + 1]) for end in range(len(steps))]

    def prompts(self, question: str, steps: Sequence[str]) -> list[Prompt]:
        """One prompt a step, after which the model says the label of that step."""
        assert self.labels is not None
        if not self.chat:
            return [Prompt.raw(text) for text in self.prefixes(question, steps)]
        found: list[Prompt] = []
        for place, step in enumerate(steps):
            if not found:
                found.append(Prompt.chat(Message("user", question + self.between + step)))
            else:
                told = found[-1].turn(Message("assistant", self.labels[0]))
                found.append(told.turn(Message("user", steps[place])))
        return found

    def check(self, question: str, steps: Sequence[str]) -> None:
        """Refuse texts that would be read as structure.

        Raises:
            Failed: `malformed`, before anything is sent.
        """
        for place, text in enumerate((question, *steps)):
            for held in self.reserved:
                if held in text:
                    what = "the question" if place == 0 else f"step {place}"
                    raise Failed(
                        f"{what} contains {held!r}, which the format {self.name} reads as structure; the "
                        "solution is not scored",
                        "malformed",
                    )


_CHATML = ("<|im_start|>", "<|im_end|>", "<|endoftext|>")

_ALL: Final = (
    Format(
        "qwen",
        "pooling",
        "probability",
        "Qwen2.5-Math-PRM: <extra_0> after each step, the second class is good",
        before="<|im_start|>system\nPlease reason step by step, and put your final answer within "
        "\\boxed{}.<|im_end|>\n<|im_start|>user\n",
        between="<|im_end|>\n<|im_start|>assistant\n",
        marker="<extra_0>",
        after="<|im_end|><|endoftext|>",
        index=1,
        reserved=("<extra_0>", *_CHATML),
    ),
    Format(
        "math-shepherd",
        "labels",
        "softmax",
        "Math-Shepherd on any server that continues raw text: + against - after each step",
        between=" ",
        marker=" ки",
        joint="\n",
        labels=("+", "-"),
        reserved=("ки",),
    ),
    Format(
        "math-shepherd-pooling",
        "pooling",
        "softmax",
        "Math-Shepherd on vLLM with the STEP pooler over the tokens + and -",
        between=" ",
        marker=" ки",
        joint="\n",
        index=0,
        reserved=("ки",),
    ),
    Format(
        "rlhflow",
        "labels",
        "softmax",
        "RLHFlow's Llama PRMs: a user turn for each step, answered by + or -",
        between=" ",
        labels=("+", "-"),
        chat=True,
        reserved=("<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>", "<|begin_of_text|>"),
    ),
    Format(
        "skywork",
        "tokens",
        "sigmoid",
        "Skywork-o1-Open-PRM: a value at the line end after each step",
        before="<|endoftext|>",
        between="\n",
        marker="\n",
        one_line=True,
        reserved=_CHATML,
    ),
    Format(
        "classify",
        "classify",
        "raw",
        "an outcome model by /classify: the logit of its one class, for a chat that the server renders",
        chat=True,
    ),
    Format(
        "classify-chatml",
        "classify",
        "raw",
        "the same for a server that takes text alone, with a ChatML model",
        before="<|im_start|>user\n",
        between="<|im_end|>\n<|im_start|>assistant\n",
        after="<|im_end|>\n",
        reserved=_CHATML,
    ),
    Format(
        "classify-llama3",
        "classify",
        "raw",
        "the same with a Llama 3 model",
        before="<|start_header_id|>user<|end_header_id|>\n\n",
        between="<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
        after="<|eot_id|>",
        reserved=("<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>", "<|begin_of_text|>"),
    ),
    Format(
        "rerank", "rerank", "raw", "a reranker by /v1/rerank: the question against the solution"
    ),
    Format(
        "score",
        "score",
        "raw",
        "a cross-encoder by vLLM's /score: the question against the solution",
    ),
)

FORMATS: Final[Mapping[str, Format]] = MappingProxyType({f.name: f for f in _ALL})
"""Every format by its name."""


def format_named(name: str, positive: int | None = None) -> Format:
    """The format of this name; with a class where a classifier has several.

    >>> format_named("classify", positive=1).reading
    'probability'

    Raises:
        InvalidInput: for a name that does not exist, or a class where none is chosen.
    """
    held = FORMATS.get(name)
    if held is None:
        raise InvalidInput(
            f"the format {name!r} of a reward model was asked for; there are {', '.join(FORMATS)}"
        )
    if positive is None:
        return held
    if held.ask != "classify" or positive < 0:
        raise InvalidInput(
            f"the class {positive} was asked for with the format {name}; only the classify formats take "
            "one, counted from 0"
        )
    return replace(held, index=positive, reading="probability")


def question_of(prompt: Prompt) -> str:
    """The problem as one text: the messages one after another, or the raw text.

    Raises:
        Failed: `unsupported` for token ids, attachments and answers that were begun.
    """
    messages = prompt.messages
    if prompt.ids or prompt.prefill or any(m.attachments for m in messages):
        raise Failed(
            "a reward model over HTTP reads a question as text; give it without token ids, attachments or "
            "a begun answer",
            "unsupported",
        )
    return "\n\n".join(m.content for m in messages) if messages else prompt.text


@dataclass(frozen=True, slots=True)
class Asked:
    """One request in the words of a format, ready to be sent."""

    request: ScoreSteps
    question: str
    steps: tuple[str, ...]

    @classmethod
    def of(cls, request: Request[Any], format: Format) -> Self:
        """Read a request.

        Raises:
            Failed: where this format cannot say it; nothing was sent, so it cost nothing.
        """
        if not isinstance(request, ScoreSteps):
            name = type(request).__name__
            raise Failed(f"a reward model serves no {name}", "unserved", usage=ZERO)
        try:
            if not format.steps and len(request.steps) > 1:
                raise Failed(
                    f"the format {format.name} scores a whole solution, but {len(request.steps)} steps were "
                    "given; use an outcome scorer, or a process reward model",
                    "unsupported",
                )
            question, steps = question_of(request.prompt), format.cleaned(request.steps)
            format.check(question, steps)
        except Failed as failure:
            failure.usage = ZERO
            raise
        return cls(request, question, steps)

    @property
    def size(self) -> int:
        """Bytes, as its share of what a call cost."""
        return sum(len(t.encode("utf-8", "surrogatepass")) for t in (self.question, *self.steps))

    @property
    def conversation(self) -> list[dict[str, str]]:
        """The chat that ends with the solution."""
        told = self.request.prompt.messages or (Message("user", self.question),)
        turns = [{"role": message.role, "content": message.content} for message in told]
        return [*turns, {"role": "assistant", "content": self.steps[0]}]

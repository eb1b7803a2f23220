"""A recorded pool as a model: it answers with what a real language model once said."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from cogitate.core.errors import Failed
from cogitate.core.needs import lacking
from cogitate.core.prompt import Prompt
from cogitate.core.protocols import Emit, Limits, silent
from cogitate.core.requests import Completion, Generate, Reply, Request
from cogitate.core.seeds import Seed
from cogitate.core.task import Task
from cogitate.core.usage import Usage

from .pools import Pool, Question, Sample


class RecordedModel:
    """Serves `Generate` from the samples of a pool, each at most once a question.

    A request's seed chooses where to look first; a sample that is taken gives way to the next free one, and
    the same seed always gets the sample it got. So N requests draw N different samples, another task
    seed draws others, and a question runs dry after its last sample (`Failed`, kind `exhausted`). Which of two seeds
    that want the same sample gets it depends on who asks first, so a run is repeated exactly by a fresh engine or
    from its journal.

    What was recorded is whole answers: a prefix to continue, a constraint, likely alternatives and images are
    refused. Where a recording holds only the sum of the log-probabilities, every token is given the mean, so
    that means and sums are right and nothing else is. A smaller cap or a stop string cuts the text.
    """

    # Mutable on purpose: it remembers which sample each seed was given.

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._texts = {q.text: q for q in pool.questions if q.text}
        self._found: dict[str, Question] = {}
        self._given: dict[int, dict[int, Sample]] = {}
        self._free: dict[int, list[Sample]] = {}

    @property
    def serves(self) -> frozenset[type[Request[Any]]]:
        """Generation only."""
        return frozenset((Generate,))

    @property
    def limits(self) -> Limits:
        """Everything at once; nothing is computed."""
        return Limits(concurrency=1024, max_batch=1024, mixed=True)

    @property
    def fingerprint(self) -> str:
        """The pool's name and size."""
        pool = self._pool
        return f"pool:{pool.about.name}[{len(pool.questions)}x{pool.samples_each}]"

    @property
    def samples_each(self) -> int:
        """Samples that every question has at least."""
        return self._pool.samples_each

    def ceiling(self, request: Request[Any]) -> Usage:
        """The most that serving this can cost."""
        most = request.max_tokens if isinstance(request, Generate) else 0
        return Usage(tokens_in=self._prompt_tokens(request), tokens_out=most, calls=1)

    async def serve(
        self, batch: Sequence[Request[Any]], emit: Emit = silent
    ) -> list[Reply[Any] | Failed]:
        """Answer each request, in order."""
        return [self._one(index, request, emit) for index, request in enumerate(batch)]

    async def close(self) -> None:
        """Nothing is held."""

    def deal(self, question: str, seed: Callable[[int], int]) -> None:
        """Give every sample of a question to a seed beforehand, so that nothing depends on who asks first.

        Args:
            question: its text; one that was not recorded is passed over.
            seed: of the i-th request that will be made.
        """
        found = self._texts.get(question)
        if found is not None:
            given = self._given.setdefault(found.id, {})
            for i in range(len(found.samples) - len(given)):
                given[seed(i)] = self._draw(found, seed(i))

    def _one(self, index: int, request: Request[Any], emit: Emit) -> Reply[Any] | Failed:
        if not isinstance(request, Generate):
            return Failed(f"a pool serves Generate, not {type(request).__name__}", "unserved")
        try:
            sample = self._sample(request)
        except Failed as failure:
            return failure
        said = _as_asked(request, sample)
        emit(index, said.text)
        used = Usage(tokens_in=sample.prompt_tokens, tokens_out=said.tokens, calls=1)
        return Reply(said, used, engine=self.fingerprint, index=sample.k)

    def _sample(self, request: Generate) -> Sample:
        if refusal := lacking(request):
            raise Failed(refusal, "unsupported")
        if request.prompt.prefill:
            raise Failed(
                "recorded answers are whole and cannot be continued; use a strategy of whole answers, "
                "with process=answer()",
                "unsupported",
            )
        if request.constraint is not None or request.logprobs > 0 or request.until:
            raise Failed(
                "a recorded answer obeys no constraint or predicate and holds no alternatives; leave "
                "them out, or ask the model itself",
                "unsupported",
            )
        question = self._question(request.prompt)
        given = self._given.setdefault(question.id, {})
        if request.seed not in given:
            given[request.seed] = self._draw(question, request.seed)
        return given[request.seed]

    def _draw(self, question: Question, seed: int) -> Sample:
        """A free sample: the one the seed points at. Swapping keeps a draw at constant cost."""
        if question.id not in self._free:
            self._free[question.id] = list(question.samples)
        free = self._free[question.id]
        if not free:
            raise Failed(
                f"the pool {self._pool.about.name} has {len(question.samples)} samples of question "
                f"{question.id}, and all are drawn; ask for fewer, or record more",
                "exhausted",
            )
        at = Seed(seed, ("recorded", question.id)).int() % len(free)
        free[at], free[-1] = free[-1], free[at]
        return free.pop()

    def _question(self, prompt: Prompt) -> Question:
        if prompt.digest not in self._found:
            self._found[prompt.digest] = self._search(prompt)
        return self._found[prompt.digest]

    def _search(self, prompt: Prompt) -> Question:
        asked = next(
            (m.content for m in reversed(prompt.messages) if m.role == "user"), prompt.text
        )
        if asked in self._texts:
            return self._texts[asked]
        held = [text for text in self._texts if text in asked]
        if held:
            return self._texts[max(held, key=len)]
        some = next(iter(self._texts), "")
        known = f"; it holds questions such as {some[:100]!r}" if some else " and holds no texts"
        raise Failed(
            f"the pool {self._pool.about.name} has no recording of {asked[:100]!r}{known}",
            "missing",
        )

    def _prompt_tokens(self, request: Request[Any]) -> int:
        if not isinstance(request, Generate):
            return 0
        try:
            samples = self._question(request.prompt).samples
        except Failed:
            return 0
        return max((s.prompt_tokens for s in samples), default=0)


def _as_asked(request: Generate, sample: Sample) -> Completion:
    """The sample, cut where the request's cap or a stop string cuts it."""
    text, tokens, finish, stopped = sample.text, sample.tokens, sample.stop, ""
    if tokens > request.max_tokens:
        text = text[: len(text) * request.max_tokens // tokens]
        tokens, finish = request.max_tokens, "limit"
    ends = [(text.find(stop) + len(stop), stop) for stop in request.stop if stop and stop in text]
    if ends:
        end, stopped = min(ends)
        tokens = max(1, round(tokens * end / len(text)))
        text, finish = text[:end], "stop"
    logprobs: tuple[float, ...] = ()
    if request.logprobs == 0 and sample.tokens:
        logprobs = sample.logprobs[:tokens] or (sample.logprob_mean,) * tokens
    return Completion(text, _FINISHES[finish], stopped, tokens, logprobs=logprobs)


_FINISHES: dict[str, Any] = {"eos": "eos", "stop": "stop", "limit": "limit", "until": "until"}


def pool_tasks(pool: Pool) -> tuple[tuple[Task, str], ...]:
    """The questions of a pool as tasks, each with its reference answer.

    >>> from cogitate.lab import open_pool
    >>> task, gold = pool_tasks(open_pool("smollm2-wordproblems"))[0]
    >>> task.kind, gold
    ('number', '40')
    """
    return tuple((Task.of(q.text, kind=pool.about.kind), q.gold) for q in pool.questions if q.text)

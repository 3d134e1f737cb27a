"""The moves of a search: roll out from a prefix, expand it by a step, put any other question to a model. Each is a generator."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pairwright.annotators.steps.base import VERIFIER, Asking, Rollout, SearchSettings, Stopped
from pairwright.annotators.steps.segment import Cut
from pairwright.annotators.steps.tree import ROOT, Piece, Question, Tree
from pairwright.engines.requests import (
    Completion,
    Conversation,
    Failed,
    FinishReason,
    Generate,
    Generated,
    Request,
    Result,
    Sampling,
    Turn,
    Verified,
    Verify,
)
from pairwright.ids import seed_of

VERIFIER_FAILED = frozenset({"time_out", "verifier_crashed", "verifier_memory", "verifier_error"})
"""Why a verifier may say nothing although the answer may be right: it is not a fault of the answer."""


@dataclass(frozen=True, slots=True)
class _Step:
    """A step that was generated, in one go or several; `ended`: the solution is over with it."""

    made: Completion
    ended: bool


class Moves:
    """What a search may do to its question's tree. Every move is paid from the question's budget and raises Stopped when that
    is spent; the tree then holds everything that was finished. A request that fails is asked again while errors are left, and
    costs nothing else."""

    def __init__(self, question: Question, settings: SearchSettings) -> None:
        self.tree, self.settings, self.question = Tree(question), settings, question
        self.spent: Counter[str] = Counter()  # rollouts, tokens, errors
        self.seconds = 0.0
        self._draws: Counter[tuple[str, tuple[int, ...]]] = Counter()

    @property
    def prompt(self) -> Conversation:
        """The question as the models see it."""
        prompt = self.question.prompt
        if self.settings.system is None or (prompt and prompt[0].role == "system"):
            return prompt
        return (Turn("system", self.settings.system), *prompt)

    def estimate(self, node: int, k: int, role: str | None = None) -> Asking:
        """Roll out `k` times from `node` and count the verdicts there. Returns the list of `Rollout`. Where the length limit
        leaves no room, all are cut before their first token, and nobody is asked."""
        role, prefix = role or self.settings.completer, self.tree.prefix(node)
        if len(prefix) >= self.settings.sampling.max_tokens:
            self.tree.count(node, role).add(["unparsed"] * k)
            return [Rollout(Piece((), "", ()), "length", "unparsed", None, "cut", None)] * k
        self._afford(k)
        asked = self._sample(role, prefix, self.settings.sampling.left(len(prefix)), k)
        (made,) = yield from self._generate(node, [asked])
        verdicts: list[Verified] = yield from self._verify(node, made.completions)
        self.tree.count(node, role).add((v.outcome for v in verdicts), sum(v.reason in VERIFIER_FAILED for v in verdicts))
        return [
            Rollout(self.piece_of(c), c.finish_reason, v.outcome, v.answer, v.reason, _prior(c))
            for c, v in zip(made.completions, verdicts, strict=True)
        ]

    def expand(self, node: int, n: int, temperature: float | None = None) -> Asking:
        """Sample `n` next steps of `node`. Returns the different children they are, in order, those it had before included; one
        that ends the solution is verified first.

        An end that says nothing more is no child: the solution ended with `node`, which is then terminal, whatever else it goes
        on as. At the question itself it is one, with its terminator as token and the reason `empty_step`.
        """
        if len(self.tree.prefix(node)) >= self.settings.sampling.max_tokens:
            yield from self._over(node, "length")
            return []
        sampled: list[_Step] = yield from self._steps(node, n, temperature)
        over = [s.made.finish_reason for s in sampled if s.ended and not s.made.text.strip()] if node != ROOT else []
        steps: dict[tuple[int, ...], _Step] = {}
        for step in sampled:
            if node == ROOT or not step.ended or step.made.text.strip():
                steps.setdefault(_own(step.made), step)
        steps.pop((), None)
        verdicts = iter((yield from self._verify(node, [step.made for step in steps.values() if step.ended])))
        if over:
            yield from self._over(node, "stop" if "stop" in over else "length")
        children = []
        for ids, step in steps.items():
            piece = Piece(ids, step.made.text, (Cut(len(ids), len(step.made.text)),))
            children.append(child := self.tree.add(node, piece, step.ended))
            if self.tree.prior[child] is None:
                self.tree.prior[child] = _prior(step.made)
            if step.ended:
                found: Verified = next(verdicts)
                reason = found.reason if piece.text.strip() else "empty_step"
                self.tree.finish_with(child, found.outcome, found.answer, step.made.finish_reason, reason)
        return children

    def verdict_of(self, piece: Piece) -> Asking:
        """A solution from elsewhere as a `Rollout`: its text is verified like any other."""
        (found,) = yield from self._verify(ROOT, [Completion(piece.text, "stop")])
        return Rollout(piece, "stop", found.outcome, found.answer, found.reason, None)

    def answer_so_far(self, node: int) -> Asking:
        """Does the text up to `node` already state an answer, marked as one? Returns `Verified`."""
        (found,) = yield from self._verify(node, [Completion("", "length")])
        return found

    def end(self, node: int, rollout: Rollout, begin: int = 0, reason: str | None = None) -> int:
        """Record that the solution went on from `node` as the rollout's steps from `begin` on, and how it ended. Returns the
        leaf: `node` itself if no steps are left."""
        rest = rollout.piece.part(begin, len(rollout.piece.cuts))
        leaf = self.tree.add(node, rest, end=True) if rest.ids else node
        self.tree.finish_with(leaf, rollout.verdict, rollout.answer, rollout.finish, reason or rollout.reason)
        return leaf

    def chain(self, solution: Rollout) -> list[int]:
        """The nodes of a solution that begins at the root, one a step; the last is its end."""
        nodes, last = [ROOT], len(solution.piece.cuts) - 1
        for step in range(last):
            nodes.append(self.tree.add(nodes[-1], solution.piece.part(step, step + 1)))
        return [*nodes[1:], self.end(nodes[-1], solution, last)]

    def ask(self, node: int, requests: Sequence[Request]) -> Asking:
        """Put requests on `node`'s bill. Returns their results, none of which is `Failed`."""
        budget = self.settings.budget
        if budget.tokens is not None and self.spent["tokens"] >= budget.tokens:
            raise Stopped("budget_tokens")
        if budget.seconds is not None and self.seconds >= budget.seconds:
            raise Stopped("budget_seconds")
        return (yield from self._paid(node, requests))

    def piece_of(self, made: Completion) -> Piece:
        """A completion's own ids and text, without terminator, cut into steps. If it says nothing, its terminator: a node needs a
        token."""
        ids, ends = _body(made)
        if not ids:
            return Piece(own := _own(made), "", (Cut(len(own), 0),) if own else ())
        return Piece(ids, made.text, tuple(self.settings.segment.cut(made.text, ends)))

    def _over(self, node: int, finish: FinishReason) -> Asking:
        """Say that the solution ends with `node`, as its text stands."""
        (found,) = yield from self._verify(node, [Completion("", finish)])
        self.tree.finish_with(node, found.outcome, found.answer, finish, found.reason)

    def _steps(self, node: int, n: int, temperature: float | None) -> Asking:
        """`n` steps; one that is not yet a step (an open formula, a mere list marker) goes on, all such side by side."""
        segment, sampling, prefix = self.settings.segment, self.settings.sampling, self.tree.prefix(node)
        most = min(segment.step_limit(), sampling.max_tokens - len(prefix))

        def asked(ids: tuple[int, ...], n: int) -> Generate:
            rest = sampling.left(len(prefix) + len(ids), most - len(ids), segment.stop())
            rest = rest if temperature is None else replace(rest, temperature=temperature)
            return self._sample(self.settings.completer, prefix + ids, rest, n)

        self._afford(n)
        request = asked((), n)
        (first,) = yield from self._generate(node, [request])
        steps = [self._step(c, request) for c in first.completions]
        while going := {i: ids for i, s in enumerate(steps) if (ids := self._begun(s, most)) is not None}:
            requests = [asked(ids, 1) for ids in going.values()]
            more = yield from self._generate(node, requests)
            for i, request, result in zip(going, requests, more, strict=True):
                step = self._step(result.completions[0], request)
                steps[i] = _Step(_joined(steps[i].made, step.made), step.ended)
        return steps

    def _begun(self, step: _Step, most: int) -> tuple[int, ...] | None:
        """The ids of what is not yet a step and may go on."""
        ids, _ = _body(step.made)
        goes_on = not step.ended and len(ids) < most and self.settings.segment.unfinished(step.made.text, len(ids))
        return ids if goes_on else None

    def _step(self, made: Completion, asked: Generate) -> _Step:
        """Is the solution over: by its author's will, by the length limit, or because the model takes no more tokens? One that
        reaches the limit with a stop string is cut."""
        n = len(made.token_ids or ())
        stopped = made.finish_reason == "stop"
        if stopped and not any(stop in made.text for stop in asked.sampling.stop):
            return _Step(made, True)
        if len(asked.prefix_ids) + n >= self.settings.sampling.max_tokens:
            return _Step(replace(made, finish_reason="length"), True)
        return _Step(made, not stopped and n < asked.sampling.max_tokens)

    def _sample(self, role: str, prefix: tuple[int, ...], sampling: Sampling, n: int) -> Generate:
        """A request whose seed is another each time the same is asked."""
        draw = self._draws[role, prefix]
        self._draws[role, prefix] += sampling.temperature > 0
        seed = seed_of("search", self.settings.seed, self.question.prompt_id, prefix, role, draw)
        return Generate(role, self.prompt, sampling, n, seed, prefix)

    def _generate(self, node: int, requests: Sequence[Generate]) -> Asking:
        """Exact ids, all of one tokenizer, or the search stops."""
        results: list[Generated] = yield from self.ask(node, requests)
        for request, made in zip(requests, (c for r in results for c in r.completions[:1]), strict=True):
            self.tree.tokenizer = self.tree.tokenizer or made.tokenizer
            if request.prefix_ids and made.tokenizer != self.tree.tokenizer:
                raise Stopped("tokenizers_differ")
        if any(c.ends is None or c.token_ids is None for r in results for c in r.completions):
            raise Stopped("no_token_ids")
        return results

    def _verify(self, node: int, completions: Sequence[Completion]) -> Asking:
        """What the solutions `node` + completion come to, as a list of `Verified`. Not refused by a spent budget, for the
        completions are paid for."""
        before, reference = self.tree.text(node), self.question.reference or ""
        asked = [Verify(VERIFIER, before + c.text, reference, c.finish_reason == "length") for c in completions]
        return (yield from self._paid(node, asked))

    def _paid(self, node: int, requests: Sequence[Request]) -> Asking:
        results: dict[int, Result] = {}
        while missing := [i for i in range(len(requests)) if i not in results]:
            answers = yield [requests[i] for i in missing]
            for answer in answers:
                self._bill(node, answer)
            results |= {i: a for i, a in zip(missing, answers, strict=True) if not isinstance(a, Failed)}
            failed = [a for a in answers if isinstance(a, Failed)]
            self.spent["errors"] += len(failed)
            if failed and self.spent["errors"] >= self.settings.budget.errors:
                raise Stopped(failed[0].reason)
        return [results[i] for i in range(len(requests))]

    def _bill(self, node: int, result: Result) -> None:
        """See `Budget`."""
        if isinstance(result, Failed):
            return
        self.spent["tokens"] += result.usage.tokens
        self.seconds += 0.0 if isinstance(result, Verified) else result.usage.seconds
        self.tree.tokens[node] += result.usage.tokens
        self.tree.seconds[node] += result.usage.seconds

    def _afford(self, n: int) -> None:
        if self.spent["rollouts"] + n > self.settings.budget.rollouts:
            raise Stopped("budget_rollouts")
        self.spent["rollouts"] += n


def _body(made: Completion) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The ids and ends of a completion without the tokens that end it, which spell nothing."""
    ids, ends = made.token_ids or (), made.ends or ()
    n = len(ids)
    while made.finish_reason == "stop" and n and ends[n - 1] == (ends[n - 2] if n > 1 else 0):
        n -= 1
    return ids[:n], ends[:n]


def _own(made: Completion) -> tuple[int, ...]:
    """The ids of a step: its body's, or its terminator's if it says nothing."""
    return _body(made)[0] or made.token_ids or ()


def _prior(made: Completion) -> float | None:
    """Mean log-probability per token, in nats."""
    return sum(made.logprobs) / len(made.logprobs) if made.logprobs else None


def _joined(a: Completion, b: Completion) -> Completion:
    """`a`, which went on as `b`."""
    ids, ends = _body(a)
    known = a.logprobs is not None and b.logprobs is not None
    logprobs = (*(a.logprobs or ())[: len(ids)], *(b.logprobs or ())) if known else None
    shifted = (len(a.text) + end for end in b.ends or ())
    return Completion(a.text + b.text, b.finish_reason, (*ids, *(b.token_ids or ())), logprobs, b.tokenizer, (*ends, *shifted))

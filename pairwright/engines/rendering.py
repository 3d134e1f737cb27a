"""From conversations to token ids: the one place that knows chat templates.

The ids a model produced are used as they are wherever its tokenizer is the reader's; text is tokenised apart from what precedes
it, so no token spans the border between a prompt and a response (methods: response annotators 0.1).
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pairwright.engines.requests import Choose, Conversation, Generate, Score, Speaker, Turn
from pairwright.errors import PairwrightError
from pairwright.ids import digest

PLAIN_TEMPLATE = (
    "{% for m in messages %}{{ m['role'] | capitalize }}: {{ m['content'] }}\n\n{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)
_OPEN, _CLOSE = "\ue0b0", "\ue0b1"  # private-use characters: no template or tokenizer gives them a meaning
NO_VERIFIER = "a language model neither verifies answers nor stands in for people: give this role a verifier or `engine: people`"
_BROKEN = "\ufffd"  # what a decoder puts for a character whose bytes are not all there
_LOST = 16  # so many tokens make no sense together: decode from the beginning


class Unscorable(Exception):
    """A request this model cannot answer, whoever asks: becomes one `Failed` with `reason` and `detail`."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


class Renderer:
    """One tokenizer with its chat template. `eos_ids`: every id that ends a turn or a text for this model."""

    def __init__(self, tokenizer: Any, eos_ids: Sequence[int] = (), chat_template: str | None = None) -> None:
        self.tokenizer = tokenizer
        self.template = PLAIN_TEMPLATE if chat_template == "plain" else chat_template
        self.eos_ids = frozenset(eos_ids) | ({tokenizer.eos_token_id} - {None})
        self.tokenizer_id = digest("tokenizer", sorted(tokenizer.get_vocab().items()))
        self.context_ids = functools.lru_cache(maxsize=8192)(self._context_ids)
        self._piece = functools.cache(self._decoded_alone)
        if self.template is None and not tokenizer.chat_template:
            raise PairwrightError(
                f"the tokenizer in {tokenizer.name_or_path} has no chat template: set `chat_template: plain` on this model, "
                "or give a jinja template"
            )

    @classmethod
    def from_folder(cls, folder: Path, chat_template: str | None = None, trust_remote_code: bool = False) -> Renderer:
        """Load the tokenizer in `folder`."""
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=trust_remote_code)
        return cls(tokenizer, _eos_in(folder), chat_template)

    def prompt_ids(self, request: Generate | Choose) -> list[int]:
        """The ids to continue: the conversation with its generation cue, then `prefix_ids` if an answer has begun."""
        prefix = request.prefix_ids if isinstance(request, Generate) else ()
        return [*self.context_ids(request.prompt, "assistant"), *prefix]

    def score_ids(self, request: Score) -> tuple[list[int], list[int]]:
        """The ids before the continuation, and the ids whose log-probabilities are asked for.

        Raises Unscorable when there is nothing to score or the template cannot show the conversation.
        """
        given = request.continuation
        if given.token_ids is not None and given.tokenizer == self.tokenizer_id:
            ids = list(given.token_ids)
            while not request.terminator and ids and ids[-1] in self.eos_ids:
                ids.pop()
        else:
            ids = self.ids(given.text)
            if request.speaker == "assistant" and given.finished and request.terminator:
                ids += self._terminator(request.context)
        if not ids or (not given.text and not given.token_ids):
            raise Unscorable("empty_response", "there is no token to score")
        return list(self.context_ids(request.context, request.speaker)), ids

    def label_ids(self, labels: Sequence[str]) -> list[int]:
        """The first token of each label; they must differ, or the labels cannot be told apart by one token."""
        firsts = [next(iter(self._tokenise(label)), -1) for label in labels]
        if -1 in firsts or len(set(firsts)) < len(firsts):
            raise Unscorable("labels_share_first_token", f"labels {list(labels)} do not differ in their first token")
        return firsts

    def check_labels(self, labels: Sequence[str]) -> None:
        """Raise PairwrightError unless each label is one token, and each another one."""
        pieces = {label: self._tokenise(label) for label in labels}
        odd = next((label for label, ids in pieces.items() if len(ids) != 1), None)
        if odd is not None:
            raise PairwrightError(
                f"the label {odd!r} is {len(pieces[odd])} tokens of this model, and a label must be one: use a shorter label, "
                "such as a letter or a digit"
            )
        if len({ids[0] for ids in pieces.values()}) < len(pieces):
            raise PairwrightError(f"the labels {', '.join(labels)} are the same token of this model: use other labels")

    def text(self, ids: Sequence[int]) -> str:
        """The text of `ids` without special tokens."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def ids(self, text: str) -> list[int]:
        """The tokens of `text`, which stays text where it looks like a special token."""
        return self._tokenise(text, literal=True)

    def ends(self, ids: Sequence[int], text: str) -> tuple[int, ...]:
        """For each of `ids`: how many characters of `text`, which is `self.text(ids)`, are spelled with it; non-decreasing, the
        last is len(text). A special token spells none, nor does one that ends inside a character."""
        ends: list[int] = []
        before = known = done = 0  # the first `known` tokens spell text[:done] and no part of what follows
        for i, token in enumerate(ids):
            new = self._piece(token) if 0 < known == i else ""
            if not new or _BROKEN in new or not text.startswith(new, done):  # decode in context: a text's begin may be special
                new = self.text(ids[before : i + 1])[len(self.text(ids[before:known])) :]
            end = done + _common(new, text[done : done + len(new)])
            lost = i - known >= _LOST
            if lost:
                end = max(done, _common(self.text(ids[: i + 1]), text))
            if lost or (new and end == done + len(new)):
                before, known, done = known, i + 1, end
            ends.append(max([end, *ends[-1:]]))
        return (*ends[:-1], len(text)) if ends else ()

    def tail(self, ids: Sequence[int], tokens: int) -> str:
        """The end of the text of `ids`: what its last so many tokens that spell anything spell."""
        begin = len(ids)
        while begin and tokens > 0:
            begin -= 1
            tokens -= bool(self._piece(ids[begin]))
        return self.text(ids[begin:])

    def _decoded_alone(self, token: int) -> str:
        """What `token` adds to a text that has begun."""
        before = self.ids("a")
        return self.text([*before, token])[len(self.text(before)) :]

    def _tokenise(self, text: str, literal: bool = False) -> list[int]:
        """`literal`: text that looks like a special token stays text, so that a response cannot end its own turn."""
        return list(self.tokenizer(text, add_special_tokens=False, split_special_tokens=literal).input_ids)

    def _render(self, context: Conversation, cue: bool) -> str:
        messages = [{"role": t.role, "content": t.content} for t in context]
        try:
            return str(
                self.tokenizer.apply_chat_template(
                    messages, tokenize=False, add_generation_prompt=cue, chat_template=self.template
                )
            )
        except Exception as error:
            roles = [t.role for t in context]
            raise Unscorable("template_refused", f"the chat template refused turns {roles}: {error}") from error

    def _pieces(self, context: Conversation, cue: bool, marked: Sequence[int]) -> list[str]:
        """The rendered text cut at the turns with indices `marked`, whose contents are left out."""
        masked = list(context)
        for i in marked:
            masked[i] = Turn(context[i].role, f"{_OPEN}{i}{_CLOSE}")
        text, pieces = self._render(tuple(masked), cue), []
        for i in marked:
            piece, found, text = text.partition(f"{_OPEN}{i}{_CLOSE}")
            if not found:
                raise Unscorable("template_refused", f"the chat template does not show turn {i} ({context[i].role})")
            pieces.append(piece)
        return [*pieces, text]

    def _context_ids(self, context: Conversation, speaker: Speaker) -> tuple[int, ...]:
        exact = [i for i, t in enumerate(context) if t.token_ids is not None and t.tokenizer == self.tokenizer_id]
        if speaker == "assistant":
            pieces = self._pieces(context, True, exact)
        else:
            pieces = self._pieces((*context, Turn("user", "?")), False, [*exact, len(context)])[:-1]
        ids = self._tokenise(pieces[0])
        for i, piece in zip(exact, pieces[1:], strict=True):
            ids += context[i].token_ids or ()
            after = self._tokenise(piece)
            ended = bool(ids) and ids[-1] in self.eos_ids
            ids += after[1:] if ended and after and after[0] in self.eos_ids else after
        return tuple(ids)

    @functools.lru_cache(maxsize=64)  # noqa: B019 - a renderer lives as long as its engine
    def _ending(self, role_shape: tuple[str, ...]) -> tuple[int, ...]:
        context = tuple(Turn(role, "x") for role in role_shape)
        try:
            after = self._tokenise(self._pieces((*context, Turn("assistant", "?")), False, [len(context)])[1])
        except Unscorable:
            after = []
        cut = next((i for i, token in enumerate(after) if token in self.eos_ids), None)
        return tuple(after[: cut + 1]) if cut is not None else (self.tokenizer.eos_token_id,)

    def _terminator(self, context: Conversation) -> list[int]:
        """What the template puts after an assistant turn, through the first end-of-turn token and not beyond."""
        return list(self._ending(tuple(t.role for t in context)))


def _common(a: str, b: str) -> int:
    """With how many characters both begin."""
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def _eos_in(folder: Path) -> list[int]:
    found: list[int] = []
    for name in ("generation_config.json", "config.json"):
        if (folder / name).exists():
            value = json.loads((folder / name).read_text()).get("eos_token_id")
            found += value if isinstance(value, list) else [] if value is None else [value]
    return found

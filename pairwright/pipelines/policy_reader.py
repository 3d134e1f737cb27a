"""How a policy reads: its tokenizer and chat template, for exports that hold token ids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pairwright.engines.folders import resolve_folder
from pairwright.engines.requests import turns

if TYPE_CHECKING:
    from pairwright.engines.rendering import Renderer
    from pairwright.storage.manifest import Manifest


class PolicyReader:
    """A policy's tokenizer and chat template, as `step_dpo` needs them."""

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer
        tokenizer = renderer.tokenizer
        self.tokenizer = renderer.tokenizer_id
        self.special = {token: str(tokenizer.decode([token])) for token in {*renderer.eos_ids, *tokenizer.all_special_ids}}

    def prompt(self, messages: Sequence[Any]) -> tuple[str, list[int]]:
        """The conversation with its cue for an answer, and the ids the policy was given for it."""
        from pairwright.engines.rendering import Unscorable
        from pairwright.storage.exports.base import Refused

        try:
            ids = self._renderer.context_ids(turns(messages), "assistant")
        except Unscorable as error:
            raise Refused(error.reason, error.detail) from error
        shown = self._renderer.tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True, chat_template=self._renderer.template
        )
        return str(shown), list(ids)

    def spell(self, ids: Sequence[int]) -> str:
        """The text of an answer's ids."""
        return self._renderer.text(ids)

    def tokenise(self, text: str) -> list[int]:
        """As a trainer does it: special tokens are taken for such."""
        return list(self._renderer.tokenizer(text, add_special_tokens=False).input_ids)


def policy_reader(manifest: Manifest) -> PolicyReader | None:
    """How the model whose steps these are reads; None where its engine has no tokenizer of its own."""
    from pairwright.engines.rendering import Renderer

    role = (manifest.recipe.get("steps") or {}).get("completer", "policy")
    model = (manifest.recipe.get("models") or {}).get(role, {})
    if model.get("engine") not in ("transformers", "vllm"):
        return None
    folder = resolve_folder(model["model"], model.get("revision"))
    return PolicyReader(Renderer.from_folder(folder, model.get("chat_template"), bool(model.get("trust_remote_code"))))

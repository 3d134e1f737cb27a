"""Sampling: the policy's own responses to each prompt, one row each; one that could not be made is a row with a reason."""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from typing import Any

from pairwright.engines.requests import Completion, Failed, Generate, Generated, Request, Result, with_system
from pairwright.ids import canonical, digest, seed_of
from pairwright.pipelines.prompts.rows import Prompt
from pairwright.pipelines.recipe import SampleConfig

ROLE = "policy"
VERSION = 1


def about(config: SampleConfig, model: str) -> dict[str, Any]:
    """Everything the responses depend on."""
    return {"stage": "sample", "version": VERSION, "model": model, "sample": json.loads(config.model_dump_json())}


def sample_prompt(
    prompt: Prompt, config: SampleConfig, fingerprint: str, label: str
) -> Generator[Sequence[Request], Sequence[Result], list[dict[str, Any]]]:
    """The `responses` rows of one prompt: exactly `config.n` of them."""
    seed = seed_of("sample", config.seed, prompt.prompt_id)
    (result,) = yield [Generate(ROLE, with_system(config.system, prompt.messages), config.sampling, config.n, seed)]
    sampling = canonical(config.sampling)

    def row(index: int, made: Completion | None, failed: Failed | None) -> dict[str, Any]:
        content = [made.text, made.token_ids] if made else None
        return {
            "response_id": digest("response", fingerprint, prompt.prompt_id, index, content),
            "prompt_id": prompt.prompt_id,
            "index": index,
            "text": made.text if made else None,
            "token_ids": made.token_ids if made else None,
            "token_logprobs": made.logprobs if made else None,
            "tokenizer": made.tokenizer if made else None,
            "finish_reason": made.finish_reason if made else None,
            "model": label,
            "sampling": sampling,
            "seed": seed,
            "reason": failed.reason if failed else None,
            "tokens": len(made.token_ids) if made and made.token_ids is not None else None,
            "seconds": result.usage.seconds / config.n,
        }

    if isinstance(result, Generated):
        return [row(i, made, None) for i, made in enumerate(result.completions)]
    failed = result if isinstance(result, Failed) else Failed("wrong_answer")
    return [row(i, None, failed) for i in range(config.n)]

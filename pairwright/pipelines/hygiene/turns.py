"""The texts of a prompt that hygiene looks at."""

from __future__ import annotations

from pairwright.pipelines.prompts.rows import Prompt


def conversation(prompt: Prompt) -> str:
    """All that was said in a prompt, without its system turns."""
    return "\n".join(turn.content for turn in prompt.messages if turn.role != "system")


def system(prompt: Prompt) -> str:
    """A prompt's system turns."""
    return "\n".join(turn.content for turn in prompt.messages if turn.role == "system")


def user_turns(prompt: Prompt) -> list[str]:
    """Each user turn and, where there are several, all of them as one text: an item may have been split into turns."""
    turns = [turn.content for turn in prompt.messages if turn.role == "user"]
    return turns if len(turns) == 1 else [*turns, "\n".join(turns)]

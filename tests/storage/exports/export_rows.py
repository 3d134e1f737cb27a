"""Rows of the exported tables for the tests of exports: plain ones, and ones that are out to break a format."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

NASTY = [
    "ки",
    "<extra_0>",
    " Step 1: ",
    "Step 2: ",
    "\nSolution:\n",
    "\n",
    " ",
    "+",
    "-",
    "Step 1:",
    "\u2028",
    "x = 4.",
    "к",
    "\r\n",
]
text = st.lists(st.one_of(st.sampled_from(NASTY), st.text(max_size=6)), max_size=5).map("".join)
spoken = st.one_of(text.filter(lambda s: bool(s.strip())), text)  # now and then a step that says nothing


def solution(**changes: Any) -> dict[str, Any]:
    """A wrong solution: its second step is the first wrong one."""
    return {
        "prompt": "What is 2 + 2, doubled?",
        "completions": ["2 + 2 = 4.\n\n", "Doubled, 6.\n\n"],
        "labels": [True, False],
        "scores": [0.75, 0.0],
        "tail": ["The answer is 6."],
        "first_error": 1,
        "verdict": "wrong",
        "answer": "6",
        "reference": "8",
        "n": [8, 8],
        "correct": [6, 0],
        "token_ids": [[1, 2], [3]],
        "tokenizer": "t",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is 2 + 2, doubled?"}],
        "model": "small",
        "method": "omega_prm",
        "prompt_id": "p1",
        "solution_id": "s1",
    } | changes


def pair(**changes: Any) -> dict[str, Any]:
    """A right and a wrong second step."""
    return {
        "messages": [{"role": "user", "content": "What is 2 + 2, doubled?"}],
        "prefix": "2 + 2 = 4.\n\n",
        "chosen": "Doubled, 8.\n\n",
        "rejected": "Doubled, 6.\n\n",
        "prefix_ids": [1, 2],
        "chosen_ids": [3, 4],
        "rejected_ids": [3, 5],
        "tokenizer": "t",
        "score_chosen": 0.75,
        "score_rejected": 0.0,
        "margin": 0.75,
        "n_chosen": 8,
        "n_rejected": 8,
        "depth": 1,
        "prompt_id": "p1",
        "pair_id": "pair1",
        "chosen_id": "n1",
        "rejected_id": "n2",
        "model": "small",
    } | changes


@st.composite
def solutions(draw: st.DrawFn) -> dict[str, Any]:
    """Solutions of up to five steps, with missing labels and scores now and then."""
    steps = draw(st.lists(spoken, max_size=5))

    def each(values: st.SearchStrategy[Any]) -> list[Any]:
        return draw(st.lists(values, min_size=len(steps), max_size=len(steps)))

    share = st.floats(0, 1)
    odd = st.one_of(share, share, share, st.none(), st.floats())
    n = each(st.sampled_from([0, 4, 8]))
    prompt = draw(text)
    return solution(
        prompt=prompt,
        messages=[{"role": "user", "content": prompt}],
        completions=steps,
        labels=each(st.sampled_from([True, False, True, False, None])),
        scores=each(odd),
        n=n,
        correct=[draw(st.integers(0, of)) for of in n],
        tail=draw(st.lists(spoken, max_size=2)),
        first_error=draw(st.one_of(st.none(), st.integers(0, 5))),
        verdict=draw(st.sampled_from(["right", "wrong", None])),
        answer=draw(st.one_of(st.none(), text)),
        reference=draw(text),
    )


@st.composite
def pairs(draw: st.DrawFn) -> dict[str, Any]:
    """Step pairs whose steps may say the same, or nothing."""
    ids = st.lists(st.integers(0, 99), max_size=4)
    return pair(
        prefix=draw(text),
        chosen=draw(spoken),
        rejected=draw(spoken),
        prefix_ids=draw(ids),
        chosen_ids=draw(ids),
        rejected_ids=draw(ids),
        margin=draw(st.one_of(st.none(), st.floats())),
    )


def preferred(**changes: Any) -> dict[str, Any]:
    """A published pair."""
    return {
        "prompt": [{"role": "user", "content": "What is 2 + 2?"}],
        "chosen": [{"role": "assistant", "content": "2 + 2 = 4.\n"}],
        "rejected": [{"role": "assistant", "content": "2 + 2 = 5."}],
        "score_chosen": 0.75,
        "score_rejected": 0.25,
        "margin": 0.5,
        "p_chosen": None,
        "prompt_id": "p1",
        "pair_id": "pair1",
        "chosen_id": "r1",
        "rejected_id": "r2",
        "chosen_model": "small",
        "rejected_model": "small",
    } | changes


def response(**changes: Any) -> dict[str, Any]:
    """A published response with its label."""
    return {
        "prompt": [{"role": "user", "content": "What is 2 + 2?"}],
        "completion": [{"role": "assistant", "content": "2 + 2 = 4.\n"}],
        "label": True,
        "score": 0.75,
        "prompt_id": "p1",
        "response_id": "r1",
        "model": "small",
    } | changes


said = st.one_of(spoken, spoken, spoken, st.none())
number = st.one_of(st.none(), st.floats())


def talk(roles: st.SearchStrategy[str], **size: int) -> st.SearchStrategy[list[dict[str, Any]]]:
    return st.lists(st.fixed_dictionaries({"role": roles, "content": said}), **size)


alternating = st.integers(0, 2).flatmap(
    lambda n: st.tuples(
        *[st.fixed_dictionaries({"role": st.just(r), "content": text}) for r in ["user", "assistant"] * n + ["user"]]
    )
)
prompts = st.one_of(alternating.map(list), talk(st.sampled_from(["system", "user", "assistant", "tool"]), max_size=4))
replies = st.one_of(talk(st.just("assistant"), min_size=1, max_size=1), talk(st.sampled_from(["assistant", "tool"]), max_size=2))


@st.composite
def preferences(draw: st.DrawFn) -> dict[str, Any]:
    """Pairs of any conversations, the responses equal or empty now and then."""
    return preferred(prompt=draw(prompts), chosen=draw(replies), rejected=draw(replies), margin=draw(number))


@st.composite
def responses(draw: st.DrawFn) -> dict[str, Any]:
    """Responses with and without labels."""
    label = draw(st.sampled_from([True, False, None]))
    return response(prompt=draw(prompts), completion=draw(replies), label=label, score=draw(number))


PLAIN = {"stepwise": solution, "step_preference": pair, "preference": preferred, "unpaired": response}
DRAWN = {"stepwise": solutions, "step_preference": pairs, "preference": preferences, "unpaired": responses}
IDENTITY = {"stepwise": "solution_id", "step_preference": "pair_id", "preference": "pair_id", "unpaired": "response_id"}

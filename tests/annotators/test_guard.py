from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairwright.annotators.base import Group, Response
from pairwright.annotators.guard import MASTER_KEYS, guarded, master_key
from pairwright.engines.requests import turns

KEYS = [(category, key) for category, keys in MASTER_KEYS.items() for key in keys]
QUESTIONS = (
    "What is 2 + 2?",
    "What is the capital of France?",
    "Is water wet? Answer yes or no.",
    "Give me a function that is its own inverse.",
    "中国的首都是哪里？",
    "Is the answer A, B, C or D?",
)
SHORT = (
    "4", "-3", "1/2", "3.5%", "Paris", "Yes.", "No", "yes!", "Sure.", "Of course!", "北京", "東京", "서울", "Да", "Sí", "f(x)=x",
    "f(x) = x", "x", "\\boxed{4}", "$x$", "\\(\\pi\\)", "B", "(B)", "**Answer:** C", "The answer is B.", "The answer is a",
    "The answer is 4.", "Answer: blue", "Solution: x = 3", "答案：北京", "Respuesta: 4", "<answer>4</answer>", "∞", "<", "👍",
    "True", "None", "null", "I", "Thought", "Let x = 2.", "Let's eat.", "Let's go!", "Let me in", "Here is the cake", "Ha ha ha",
    "11111111", "0 0 0 0 0 0", "As you asked: blue", "Yes, sure.", "print(4)", "No answer", "It is right", "The answer is right.",
    "Hello", "Great", "Well",
)  # fmt: skip
WRAPS = ("{}", " {}\n", "{}.", "**{}**", "# {}", '"{}"', "- {}", "`{}`", "The answer is {}.", "Sure! {}")


@pytest.mark.parametrize(("category", "key"), KEYS)
@pytest.mark.parametrize("question", QUESTIONS)
def test_every_master_key_is_known_by_its_kind(category, key, question):
    assert master_key(key, question) == f"master_key_{category}"


@pytest.mark.parametrize("category", ["non_word", "opener", "answer_word", "format"])
@given(data=st.data())
def test_spaces_headings_and_capitals_hide_no_key(data, category):
    key = data.draw(st.sampled_from(MASTER_KEYS[category]))
    dressed = data.draw(st.sampled_from(["\n{}\n", "## {}", "**{}**", "  {}:", "{}..."])).format(key)
    assert master_key(data.draw(st.sampled_from([dressed, dressed.upper()]))) is not None


@given(
    st.sampled_from(MASTER_KEYS["opener"]),
    st.sampled_from(MASTER_KEYS["as_requested"]),
    st.sampled_from(MASTER_KEYS["answer_word"]),
)
def test_several_keys_together_still_say_nothing(opener, grant, word):
    assert master_key(f"{opener}\n{grant}\n{word}") is not None
    assert master_key(f"{opener}\n{grant}\n{word} 42") is None


@given(st.sampled_from(SHORT), st.sampled_from(WRAPS), st.sampled_from(QUESTIONS))
def test_a_short_answer_is_an_answer(answer, wrap, question):
    assert master_key(wrap.format(answer), question) is None


@given(st.integers(), st.sampled_from(WRAPS), st.sampled_from([key for _, key in KEYS if key.isprintable()]))
def test_a_text_with_a_number_is_no_key_whatever_announces_it(number, wrap, key):
    assert master_key(wrap.format(number)) is None
    assert master_key(f"{key} {number}") is None


@given(st.text("bcdfghjklmnpqrstvwxyz", min_size=6, max_size=12), st.sampled_from(WRAPS))
def test_a_word_nobody_announces_with_is_no_key(word, wrap):
    if len(set(word)) > 1:
        assert master_key(wrap.format(word)) is None


@given(st.text(st.characters(categories=["Po", "Pd", "Ps", "Pe", "Zs", "Cf"]), max_size=8))
def test_punctuation_alone_is_always_a_key(text):
    visible = any(unicodedata.category(char)[0] == "P" for char in text)
    assert master_key(text) in ({"master_key_non_word", "master_key_format"} if visible else {"master_key_blank"})


@given(st.text(max_size=80), st.text(max_size=80))
def test_any_text_gets_a_reason_or_none(text, question):
    reason = master_key(text, question)
    assert reason is None or reason.startswith("master_key_")


@pytest.mark.parametrize(
    "text",
    [
        "Why is the sky blue?",
        "  why is the SKY blue",
        "**Question:** Why is the sky blue?",
        "You asked: Why is the sky blue? Let's think step by step.",
        "Why is the sky blue? Answer:",
    ],
)
def test_the_prompt_again_is_an_echo(text):
    assert master_key(text, "Why is the sky blue?") == "master_key_echo"


@pytest.mark.parametrize(
    "text", ["Why is the sky blue? Because of scattering.", "Why is the sky blue or green?", "blue", "The sky is blue"]
)
def test_an_answer_that_begins_with_the_prompt_is_no_echo(text):
    assert master_key(text, "Why is the sky blue?") is None


def test_what_is_as_short_as_an_answer_may_be_said_again():
    assert master_key("Paris", "Paris") is None
    assert master_key("4", "4?") is None


def test_one_word_over_and_over_is_a_key_unless_it_was_asked_for():
    assert master_key("banana " * 10, "Write about fruit.") == "master_key_repetition"
    assert master_key("banana " * 10, "Write banana ten times.") is None
    assert master_key("ha ha ha", "Laugh.") is None


def test_thoughts_are_no_answer():
    assert master_key("<think>It is 4.</think>") == "master_key_blank"
    assert master_key("<think>It is 4.</think>\nSolution:") == "master_key_opener"
    assert master_key("<think>Solution</think>\n4") is None


def group(*texts: str, reference: str | None = None) -> Group:
    return Group("p", turns("Why is the sky blue?"), tuple(Response(str(i), t) for i, t in enumerate(texts)), reference)


def test_the_guard_names_exactly_the_responses_that_say_nothing():
    found = guarded(group("Because of scattering.", ":", "Why is the sky blue?", ""))
    assert found == {"1": "master_key_non_word", "2": "master_key_echo", "3": "master_key_blank"}


def test_what_the_reference_says_is_an_answer():
    assert guarded(group("Solution", "Suspension", reference="solution ")) == {}
    assert guarded(group("Solution", "", reference="")) == {"0": "master_key_opener", "1": "master_key_blank"}


@pytest.mark.parametrize(
    "prompt",
    [
        "Repeat: The quick brown fox",
        "Please copy the quick brown fox.",
        "Translate this to French and back: the fox",
        "Can you quote it?",
    ],
)
def test_the_prompt_again_is_an_answer_where_it_was_asked_for(prompt):
    assert master_key(prompt, prompt) is None
    assert master_key("Solution:", prompt) == "master_key_opener"


def test_the_prompt_again_is_an_echo_where_it_only_has_such_a_word():
    prompt = "What is the complete list of copy editors?"
    assert master_key(prompt, prompt) == "master_key_echo"


def test_i_think_so_answers_only_what_can_be_answered_with_yes():
    for said in ("I think so.", "Yes, I would say so"):
        assert master_key(said, "Is water wet?") is None
        assert master_key(said, "Water. Do you know whether it is wet?") is None
    assert master_key("I think so.", "What is the capital of France?") == "master_key_opener"

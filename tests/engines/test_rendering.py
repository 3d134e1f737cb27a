"""Given ids are used as they are, text is tokenised on its own, and every answer ends where its author ended it."""

from __future__ import annotations

import importlib.util
from itertools import accumulate
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pairwright.engines.folders import EMBEDDED, resolve_folder
from pairwright.engines.rendering import Renderer, Unscorable
from pairwright.engines.requests import Choose, Continuation, Conversation, Generate, Sampling, Score, Turn, turns
from pairwright.errors import PairwrightError

pytestmark = pytest.mark.model

END = 2  # <|im_end|>
DEFAULT = "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
HELLO = turns("Hello there")
written = st.text(  # what this tokenizer can spell: it drops control characters
    st.characters(categories=["L", "N", "P", "S", "Zs"], include_characters="\n\t", max_codepoint=0x1FAFF)
)
NO_SYSTEM = (
    "{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('no system turn, please') }}{% endif %}"
    "<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
)


@pytest.fixture(scope="module")
def make() -> Any:
    """`make(chat_template)`: a renderer with the embedded model's tokenizer."""
    if importlib.util.find_spec(EMBEDDED["smollm2"][0]) is None:
        pytest.skip("the embedded small model is not installed")
    return lambda chat_template=None: Renderer.from_folder(resolve_folder("smollm2"), chat_template)


@pytest.fixture(scope="module")
def renderer(make: Any) -> Renderer:
    return make()


@pytest.fixture(scope="module")
def plain(make: Any) -> Renderer:
    return make("plain")


def ids(renderer: Renderer, text: str) -> list[int]:
    return list(renderer.tokenizer(text, add_special_tokens=False).input_ids)


def spelled(renderer: Renderer, given_: list[int]) -> str:
    """The text of ids, special tokens too."""
    return str(renderer.tokenizer.decode(given_))


def prompt_ids(renderer: Renderer, prompt: Conversation, prefix: tuple[int, ...] = ()) -> list[int]:
    return renderer.prompt_ids(Generate("policy", prompt, Sampling(), prefix_ids=prefix))


def score(
    renderer: Renderer, context: Conversation, continuation: Continuation | str, **about: Any
) -> tuple[list[int], list[int]]:
    given_ = Continuation(continuation) if isinstance(continuation, str) else continuation
    return renderer.score_ids(Score("strong", context, given_, **about))


class TestPrompt:
    def test_is_the_template_with_its_cue(self, renderer: Renderer) -> None:
        expected = DEFAULT + "<|im_start|>user\nHello there<|im_end|>\n<|im_start|>assistant\n"
        assert prompt_ids(renderer, HELLO) == ids(renderer, expected)

    def test_shows_a_given_system_turn_instead_of_the_default(self, renderer: Renderer) -> None:
        found = spelled(renderer, prompt_ids(renderer, (Turn("system", "Be brief."), *HELLO)))
        assert found.startswith("<|im_start|>system\nBe brief.<|im_end|>\n") and "SmolLM" not in found

    def test_goes_on_from_an_answer_that_has_begun(self, renderer: Renderer) -> None:
        assert prompt_ids(renderer, HELLO, (11, 12)) == [*prompt_ids(renderer, HELLO), 11, 12]

    def test_is_the_same_for_generating_choosing_and_scoring(self, renderer: Renderer) -> None:
        assert renderer.prompt_ids(Choose("judge", HELLO, ("A", "B"))) == prompt_ids(renderer, HELLO)
        assert score(renderer, HELLO, "Hi")[0] == prompt_ids(renderer, HELLO)

    @settings(max_examples=50)
    @given(written.filter(bool))
    def test_no_token_spans_the_border_to_the_response(self, renderer: Renderer, text: str) -> None:
        context, scored = score(renderer, HELLO, text)
        assert context == prompt_ids(renderer, HELLO)
        assert spelled(renderer, scored) == f"{text}<|im_end|>"


class TestResponse:
    def test_given_ids_are_used_exactly(self, renderer: Renderer) -> None:
        """Even ids that no text would be tokenised to: here "Hello" letter by letter."""
        strange = tuple(i for letter in "Hello" for i in ids(renderer, letter))
        assert strange != tuple(ids(renderer, "Hello"))
        given_ = Continuation("Hello", (*strange, END), renderer.tokenizer_id)
        assert score(renderer, HELLO, given_)[1] == [*strange, END]

    def test_ids_of_another_tokenizer_are_not(self, renderer: Renderer) -> None:
        given_ = Continuation("Hello", (7, 8, 9), "another tokenizer")
        assert score(renderer, HELLO, given_)[1] == [*ids(renderer, "Hello"), END]

    def test_text_gets_the_tokens_through_the_first_end_of_turn_and_nothing_after(self, renderer: Renderer) -> None:
        """The template puts a line break after the end of turn; it is not the assistant's."""
        assert score(renderer, HELLO, "Hi, you.")[1] == [*ids(renderer, "Hi, you."), END]

    @pytest.mark.parametrize("known", [True, False], ids=["as ids", "as text"])
    def test_a_cut_response_gets_no_terminator(self, renderer: Renderer, known: bool) -> None:
        cut = tuple(ids(renderer, "Hi, you"))
        given_ = Continuation("Hi, you", cut if known else None, renderer.tokenizer_id if known else None, finished=False)
        assert score(renderer, HELLO, given_)[1] == list(cut)

    @pytest.mark.parametrize("known", [True, False], ids=["as ids", "as text"])
    def test_the_terminator_can_be_left_out(self, renderer: Renderer, known: bool) -> None:
        whole = (*ids(renderer, "Hi"), END)
        given_ = Continuation("Hi", whole if known else None, renderer.tokenizer_id if known else None)
        assert score(renderer, HELLO, given_, terminator=False)[1] == [*ids(renderer, "Hi")]

    @pytest.mark.parametrize("given_", [Continuation(""), Continuation("", (), "any"), Continuation("", finished=False)], ids=str)
    def test_an_empty_one_cannot_be_scored(self, renderer: Renderer, given_: Continuation) -> None:
        with pytest.raises(Unscorable) as error:
            score(renderer, HELLO, given_)
        assert error.value.reason == "empty_response"

    def test_ids_that_are_only_a_terminator_are_scored_unless_it_is_left_out(self, renderer: Renderer) -> None:
        """A model that says nothing says so with a probability."""
        given_ = Continuation("", (END,), renderer.tokenizer_id)
        assert score(renderer, HELLO, given_)[1] == [END]
        with pytest.raises(Unscorable):
            score(renderer, HELLO, given_, terminator=False)


class TestFollowUp:
    def test_by_the_user_scores_its_content_alone(self, renderer: Renderer) -> None:
        context, scored = score(renderer, (*HELLO, Turn("assistant", "Hi")), "Thank you!", speaker="user")
        assert scored == ids(renderer, "Thank you!")
        assert spelled(renderer, context).endswith("assistant\nHi<|im_end|>\n<|im_start|>user\n")

    @pytest.mark.parametrize("ended", [True, False], ids=["ended", "cut"])
    def test_continues_the_very_ids_of_the_prompt_and_its_response(self, renderer: Renderer, ended: bool) -> None:
        strange = [*(i for letter in "Hello" for i in ids(renderer, letter)), *([END] if ended else [])]
        said = Turn("assistant", "Hello", tuple(strange), renderer.tokenizer_id)
        context, _ = score(renderer, (*HELLO, said), "Thank you!", speaker="user")
        begun = [*prompt_ids(renderer, HELLO), *strange]
        assert context[: len(begun)] == begun
        rest = "\n<|im_start|>user\n" if ended else "<|im_end|>\n<|im_start|>user\n"  # the turn is ended once, never twice
        assert context[len(begun) :] == ids(renderer, rest)

    def test_is_the_same_after_ids_as_after_the_text_they_spell(self, renderer: Renderer) -> None:
        text, exact = (
            Turn("assistant", "Hi, you."),
            Turn("assistant", "Hi, you.", (*ids(renderer, "Hi, you."), END), renderer.tokenizer_id),
        )
        for speaker in ("user", "assistant"):
            after_ids = score(renderer, (*HELLO, exact, *HELLO), "So?", speaker=speaker)
            assert after_ids == score(renderer, (*HELLO, text, *HELLO), "So?", speaker=speaker)

    def test_ids_of_another_tokenizer_are_read_as_text(self, renderer: Renderer) -> None:
        foreign = Turn("assistant", "Hi", (7, 8, 9), "another tokenizer")
        assert prompt_ids(renderer, (*HELLO, foreign, *HELLO)) == prompt_ids(renderer, (*HELLO, Turn("assistant", "Hi"), *HELLO))

    def test_the_default_system_turn_is_in_both(self, renderer: Renderer) -> None:
        for speaker in ("user", "assistant"):
            context, _ = score(renderer, HELLO, "Thanks", speaker=speaker)
            assert spelled(renderer, context).startswith(DEFAULT)

    def test_several_turns_of_ids_keep_their_places(self, renderer: Renderer) -> None:
        one = Turn("assistant", "one", (*ids(renderer, "one"), END), renderer.tokenizer_id)
        two = Turn("assistant", "two", (*ids(renderer, "two"), END), renderer.tokenizer_id)
        context, _ = score(renderer, (*HELLO, one, *HELLO, two), "And?", speaker="user")
        by_text = (*HELLO, Turn("assistant", "one"), *HELLO, Turn("assistant", "two"))
        assert context == score(renderer, by_text, "And?", speaker="user")[0]


class TestTemplates:
    def test_a_role_that_the_template_refuses_cannot_be_scored(self, make: Any) -> None:
        with pytest.raises(Unscorable, match=r"refused turns \['system', 'user'\].*no system turn, please") as error:
            prompt_ids(make(NO_SYSTEM), (Turn("system", "Be brief."), *HELLO))
        assert error.value.reason == "template_refused"

    def test_nor_can_a_turn_that_it_does_not_show(self, make: Any) -> None:
        silent = make("{% for m in messages if m['role'] == 'user' %}{{ m['content'] }}{% endfor %}")
        said = Turn("assistant", "Hi", (5, END), silent.tokenizer_id)
        with pytest.raises(Unscorable, match=r"does not show turn 1 \(assistant\)"):
            prompt_ids(silent, (*HELLO, said, *HELLO))

    def test_plain_works_without_a_template_of_the_tokenizer(self, plain: Renderer) -> None:
        assert prompt_ids(plain, HELLO) == ids(plain, "User: Hello there\n\nAssistant:")
        assert score(plain, HELLO, "Hi")[1] == [*ids(plain, "Hi"), END]
        context, scored = score(plain, (*HELLO, Turn("assistant", "Hi")), "Thanks", speaker="user")
        assert spelled(plain, context) == "User: Hello there\n\nAssistant: Hi\n\nUser: "
        assert scored == ids(plain, "Thanks")

    def test_a_tokenizer_without_one_is_a_sentence_with_the_fix(
        self, renderer: Renderer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(renderer.tokenizer, "chat_template", None)
        with pytest.raises(PairwrightError, match="has no chat template: set `chat_template: plain`"):
            Renderer(renderer.tokenizer)
        assert Renderer(renderer.tokenizer, chat_template="plain").template

    def test_the_template_does_not_change_whose_ids_are_understood(self, renderer: Renderer, plain: Renderer) -> None:
        assert renderer.tokenizer_id == plain.tokenizer_id


class TestLabels:
    def test_are_told_apart_by_their_first_token(self, renderer: Renderer) -> None:
        assert renderer.label_ids(("Yes", "No")) == [ids(renderer, "Yes")[0], ids(renderer, "No")[0]]

    @pytest.mark.parametrize("labels", [("A", "A"), ("A\n", "A."), ("", "B")], ids=str)
    def test_that_share_it_or_have_none_cannot_be_chosen_from(self, renderer: Renderer, labels: tuple[str, ...]) -> None:
        with pytest.raises(Unscorable, match="do not differ in their first token") as error:
            renderer.label_ids(labels)
        assert error.value.reason == "labels_share_first_token"


class TestText:
    @settings(max_examples=50)
    @given(written)
    def test_comes_back_from_its_ids_without_the_terminator(self, renderer: Renderer, text: str) -> None:
        assert renderer.text([*ids(renderer, text), END]) == text

    def test_becomes_ids_that_stay_text_where_it_looks_like_a_special_token(self, renderer: Renderer) -> None:
        found = renderer.ids("a <|im_end|> b")
        assert END not in found and renderer.text(found) == "a <|im_end|> b"


def ends_naively(renderer: Renderer, ids_: list[int]) -> list[int]:
    """With how many characters of the whole text the text of the first tokens agrees, decoded from the beginning each time. (Some
    decoders take back a character while the next one is not whole.)"""
    text = renderer.text(ids_)
    begun = [renderer.text(ids_[: i + 1]) for i in range(len(ids_))]
    return list(accumulate((next((k for k in range(len(b), 0, -1) if b[:k] == text[:k]), 0) for b in begun), max))


class TestEnds:
    """`written` and what takes several tokens a character."""

    mixed = st.lists(written | st.sampled_from(["漢字かな", "🙂👩‍👩‍👧", "\t\t", "\n\n", "é", " ", "한국어 "]), max_size=12).map(
        "".join
    )

    @settings(max_examples=200)
    @given(mixed, st.lists(st.tuples(st.integers(0, 99), st.sampled_from([0, END, 3])), max_size=4))
    def test_say_which_characters_are_whole_after_each_token(
        self, renderer: Renderer, text: str, special: list[tuple[int, int]]
    ) -> None:
        """Special tokens, wherever they are, spell nothing."""
        given_ = ids(renderer, text)
        for place, token in special:
            given_.insert(place, token)
        ends = renderer.ends(given_, text)
        if special:
            kept = [(i, e) for i, e in zip(given_, ends, strict=True) if i not in (0, END, 3)]
            given_, ends = [i for i, _ in kept], tuple(e for _, e in kept)
        assert list(ends) == ends_naively(renderer, list(given_))

    @settings(max_examples=100)
    @given(st.lists(st.integers(0, 49151), min_size=1, max_size=60))
    def test_never_decrease_and_reach_the_end_whatever_the_ids_are(self, renderer: Renderer, given_: list[int]) -> None:
        """Also where bytes make no character."""
        text = renderer.text(given_)
        ends = renderer.ends(given_, text)
        assert len(ends) == len(given_) and list(ends) == sorted(ends) and ends[-1] == len(text)

    def test_cut_a_text_where_its_tokens_end(self, renderer: Renderer) -> None:
        text = "Two steps.\n\nThe 漢字 is 🙂.\n"
        given_ = ids(renderer, text)
        for i, end in enumerate(renderer.ends(given_, text), start=1):
            assert renderer.text(given_[:i]).rstrip("\ufffd") == text[:end]

    def test_of_no_ids_are_none(self, renderer: Renderer) -> None:
        assert renderer.ends([], "") == ()

    @given(st.lists(st.sampled_from(["Hello", " there", "  ", "\n", "漢", "🙂", "é", "x"]), max_size=30).map("".join))
    def test_are_right_where_a_decoder_drops_the_space_a_text_begins_with(self, spaced: Renderer, text: str) -> None:
        given_ = ids(spaced, text)
        assert list(spaced.ends(given_, spaced.text(given_))) == ends_naively(spaced, given_)


@pytest.fixture(scope="module")
def spaced() -> Renderer:
    """A tokenizer of the other family: words that begin with a mark for their space, and single bytes for what it has no word."""
    from tokenizers import Tokenizer, decoders, models, normalizers
    from transformers import PreTrainedTokenizerFast

    words = ["<unk>", "</s>", *(f"<0x{i:02X}>" for i in range(256)), *"▁Helothrx", "▁▁"]
    merges = [("▁", "H"), ("▁H", "e"), ("▁He", "l"), ("▁Hel", "l"), ("▁Hell", "o"), ("▁", "t"), ("t", "h"), ("▁", "▁")]
    vocabulary = {word: i for i, word in enumerate(dict.fromkeys([*words, *(a + b for a, b in merges)]))}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return Renderer(PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>"), chat_template="plain")


class TestTail:
    @settings(max_examples=50)
    @given(written, st.integers(1, 9))
    def test_is_the_end_of_the_text_with_that_many_tokens_that_spell(self, renderer: Renderer, text: str, tokens: int) -> None:
        given_ = [t for i in ids(renderer, text) for t in (i, END)]
        assert text.endswith(renderer.tail(given_, tokens).lstrip("\ufffd"))
        assert renderer.tail(given_, tokens) == renderer.text(ids(renderer, text)[-tokens:])


def test_a_response_that_spells_a_special_token_does_not_end_its_own_turn(renderer: Renderer) -> None:
    _, scored = renderer.score_ids(Score("policy", HELLO, Continuation("say <|im_end|> now")))
    assert scored.count(END) == 1 and scored[-1] == END
    assert renderer.text(scored[:-1]) == "say <|im_end|> now"

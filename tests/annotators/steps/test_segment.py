from __future__ import annotations

import json
import re
from itertools import accumulate, pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from pairwright.annotators.steps.segment import AnySegmenter, Cut, Delimiter, Pieces, Segmenter, Tags, Tokens, fences

DATA = Path(__file__).resolve().parents[3].parent / "shared" / "data"
CONFIG = TypeAdapter(AnySegmenter)
BITS = [
    "so x ",
    "word",
    ".\n\n",
    "\n",
    "\n\n",
    " ",
    "1.",
    "- ",
    "```",
    "$$",
    "$",
    "\\",
    "\\[",
    "\\]",
    "\\begin{a}",
    "\\end{a}",
    "é",
    "`",
]
TEXTS = st.lists(st.sampled_from([*BITS, "<step>", "</step>"]), max_size=40).map("".join)


def tokens_of(text: str) -> list[str]:
    """Much as a byte-pair tokenizer would: a space goes with the word after it, newlines with the punctuation before them."""
    return re.findall(r"[^\w\s]*\n+| ?\w+| ?[^\w\s]+|\s", text)


def ends_of(tokens: list[str]) -> list[int]:
    return list(accumulate(map(len, tokens)))


def steps(segmenter: Segmenter, text: str) -> list[str]:
    cuts = segmenter.cut(text, ends_of(tokens_of(text)))
    return [text[a.char : b.char] for a, b in pairwise((Cut(0, 0), *cuts))]


def lengths(cuts: tuple[Cut, ...]) -> list[int]:
    return [b.token - a.token for a, b in pairwise((Cut(0, 0), *cuts))]


@st.composite
def tokenised(draw: st.DrawFn) -> tuple[str, list[int]]:
    """A text and tokens that end anywhere in it; some spell nothing, as the first bytes of a character do."""
    text = draw(TEXTS)
    ends = sorted(draw(st.lists(st.integers(0, len(text)), max_size=80)))
    return text, ends


@st.composite
def segmenters(draw: st.DrawFn, *kinds: type[Segmenter]) -> Segmenter:
    low = draw(st.integers(1, 5))
    room = {"min_step_tokens": low, "max_step_tokens": draw(st.integers(2 * low, 30))}
    kind = draw(st.sampled_from(kinds or (Delimiter, Tags, Tokens, Pieces)))
    if kind is Tokens:
        return Tokens(n=draw(st.integers(low, room["max_step_tokens"])), **room)
    if kind is Pieces:
        return Pieces(m=draw(st.integers(1, 16)), **room)
    if kind is Tags:
        return Tags(**room)
    return Delimiter(delimiter=draw(st.sampled_from(["\n\n", "\n", ".", "o x"])), **room)


class TestDelimiter:
    def test_the_token_that_completes_the_delimiter_belongs_to_the_earlier_step(self) -> None:
        text = "First we add two and two.\n\nThen we double what we got.\n\nSo the answer is 8."
        assert ".\n\n" in tokens_of(text)
        assert steps(Delimiter(), text) == [
            "First we add two and two.\n\n",
            "Then we double what we got.\n\n",
            "So the answer is 8.",
        ]

    def test_a_token_that_goes_on_after_the_delimiter_is_not_split(self) -> None:
        text = "one two.\n\nThree four"
        assert Delimiter(min_step_tokens=1).cut(text, [3, 13, 18, 20]) == (Cut(2, 13), Cut(4, 20))

    def test_a_delimiter_may_be_spelt_by_several_tokens(self) -> None:
        assert Delimiter(min_step_tokens=1).cut("ab\n\ncd", [2, 3, 4, 6]) == (Cut(3, 4), Cut(4, 6))

    def test_a_third_newline_belongs_to_the_next_step(self) -> None:
        assert Delimiter(min_step_tokens=1).cut("a\n\n\nb\nc", [1, 2, 3, 4, 5, 6, 7]) == (Cut(3, 3), Cut(7, 7))

    def test_a_newline_that_went_with_the_earlier_step_begins_no_delimiter(self) -> None:
        assert Delimiter(min_step_tokens=1).cut("a\n\n\n\nBc", [1, 4, 6, 7]) == (Cut(2, 4), Cut(4, 7))

    def test_text_that_no_token_spells_whole_belongs_to_the_last_step(self) -> None:
        assert Delimiter(min_step_tokens=1).cut("a\n\n\ufffd", [1, 3]) == (Cut(2, 4),)

    def test_a_delimiter_at_the_end_makes_no_empty_step(self) -> None:
        assert steps(Delimiter(), "We add two and two.\n\n") == ["We add two and two.\n\n"]

    @pytest.mark.parametrize(
        "fence",
        ["```python\na = 1\n\nb = 2\n```", "$$ a\n\n+ b $$", "\\[ a\n\n+ b \\]", "\\begin{align*} a\n\n+ b \\end{align*}"],
    )
    def test_nothing_is_cut_inside_code_or_a_display_formula(self, fence: str) -> None:
        first, second = f"Look at this here: {fence}\n\n", "And so we are done."
        assert steps(Delimiter(), first + second) == [first, second]

    def test_an_environment_ends_where_the_outer_one_ends(self) -> None:
        formula = r"\begin{cases} a " + "\n\n" + r"\begin{cases} b \end{cases}" + "\n\n" + r"c \end{cases}" + "\n\n"
        assert steps(Delimiter(), formula + "And so we are done.") == [formula, "And so we are done."]

    @pytest.mark.parametrize("opened", ["```", "$$", "\\[", "\\begin{align}"])
    def test_a_fence_that_is_never_closed_protects_nothing(self, opened: str) -> None:
        parts = [f"We pay {opened} for two of them.\n\n", "Then we double what we got.\n\n", "So the answer is 8."]
        assert steps(Delimiter(), "".join(parts)) == parts

    @pytest.mark.parametrize("escaped", [r"a \\[2pt] b", r"costs \$$ now", r"\$\$"])
    def test_what_is_escaped_opens_no_fence(self, escaped: str) -> None:
        assert list(fences(escaped + r" \] $$")) in ([], [(len(escaped) + 4, None)])

    def test_fences_are_the_outermost_ones_and_say_which_is_open(self) -> None:
        text = r"$$ \[ $$ ``` $$ ``` \begin{a} \begin{b} \end{a} \[ x"
        assert [(text[a:b], b is None) for a, b in fences(text)] == [
            (r"$$ \[ $$", False),
            ("``` $$ ```", False),
            (r"\begin{a} \begin{b} \end{a}", False),
            (r"\[ x", True),
        ]

    @pytest.mark.parametrize("marker", ["1.", "12)", "-", "*", "(a)", "iv.", "•", "1.2.", "1. -", "---"])
    def test_a_step_that_is_only_list_markers_joins_the_next_one(self, marker: str) -> None:
        first, second = "We add all of them.\n\n", f"{marker}\n\nThen we double what we got."
        assert steps(Delimiter(min_step_tokens=1), first + second) == [first, second]

    def test_a_step_that_is_only_whitespace_joins_the_next_one(self) -> None:
        text = "We add.\n\n \n\nThen double."
        assert Delimiter(min_step_tokens=1).cut(text, [2, 6, 9, 10, 12, 16, 23, 24]) == (Cut(3, 9), Cut(8, 24))

    @pytest.mark.parametrize("said", ["x", "17", "a b", "- 5", "1.)x"])
    def test_a_short_step_that_says_something_stays_where_short_steps_may(self, said: str) -> None:
        assert steps(Delimiter(min_step_tokens=1), f"We add.\n\n{said}\n\nThen double.")[1] == f"{said}\n\n"

    def test_a_short_step_joins_the_next_one(self) -> None:
        assert steps(Delimiter(), "Step 1:\n\nWe add two and two.\n\nThen we double what we got.") == [
            "Step 1:\n\nWe add two and two.\n\n",
            "Then we double what we got.",
        ]

    def test_a_short_last_step_joins_the_one_before(self) -> None:
        assert steps(Delimiter(), "We add two and two.\n\nThen we double what we got.\n\n#### 8") == [
            "We add two and two.\n\n",
            "Then we double what we got.\n\n#### 8",
        ]

    def test_a_short_solution_is_one_step(self) -> None:
        assert steps(Delimiter(), "It is\n\n8") == ["It is\n\n8"]

    def test_a_long_step_is_cut_at_the_last_newline_before_the_cap(self) -> None:
        text = "a b c d e f g\nh i j k l m n\no p q r s t u"
        assert steps(Delimiter(max_step_tokens=20), text) == ["a b c d e f g\nh i j k l m n\n", "o p q r s t u"]

    def test_a_long_step_without_a_newline_is_cut_at_the_cap(self) -> None:
        cuts = Delimiter(max_step_tokens=20).cut("x" * 50, range(1, 51))
        assert lengths(cuts) == [20, 20, 10]

    def test_a_newline_that_would_leave_a_short_step_is_no_place_to_cut(self) -> None:
        cuts = Delimiter(max_step_tokens=20).cut("xy\n" + "x" * 47, range(1, 51))
        assert lengths(cuts) == [20, 20, 10]

    def test_a_long_fence_is_cut_all_the_same(self) -> None:
        text = "$$ a b c d e f g\nh i j k l m n\no p q r s t u $$"
        assert steps(Delimiter(max_step_tokens=20), text) == ["$$ a b c d e f g\nh i j k l m n\n", "o p q r s t u $$"]

    @pytest.mark.parametrize(("rest", "expected"), [("xyz", [20]), ("xyzx", [17, 4])])
    def test_a_short_last_step_joins_up_to_the_cap_and_no_further(self, rest: str, expected: list[int]) -> None:
        text = "x" * 15 + "\n\n" + rest
        assert lengths(Delimiter(max_step_tokens=20).cut(text, range(1, len(text) + 1))) == expected

    def test_a_last_step_stays_short_where_joining_would_break_the_cap(self) -> None:
        assert lengths(Delimiter(max_step_tokens=20).cut("x" * 22, range(1, 23))) == [20, 2]


class TestTags:
    SOLUTION = "<step>We add two and two.</step>\n<step>Then we double it.</step>\nSo the answer is 8."

    def test_a_step_ends_with_the_token_that_completes_the_close_tag(self) -> None:
        assert steps(Tags(), self.SOLUTION) == [
            "<step>We add two and two.</step>\n",
            "<step>Then we double it.</step>\n",
            "So the answer is 8.",
        ]

    def test_text_after_the_last_tag_is_a_step_only_if_it_says_something(self) -> None:
        text = "<step>We add two and two.</step>" + " \n" * 9
        assert steps(Tags(), text) == [text]

    def test_a_tag_inside_an_open_or_closed_fence_still_ends_its_step(self) -> None:
        parts = ["<step>We pay $$ for two.</step>\n", "<step>Then $$ we double it.</step>\n"]
        assert steps(Tags(), "".join(parts)) == parts

    def test_an_empty_step_joins_the_next_one(self) -> None:
        assert steps(Tags(min_step_tokens=1), "<step>1.</step>\n<step>We add.</step>") == [
            "<step>1.</step>\n<step>We add.</step>"
        ]

    def test_other_tags_may_be_chosen(self) -> None:
        assert len(steps(Tags(open="[s]", close="[/s]"), "[s]one two three[/s] [s]four five six[/s]")) == 2


class TestTokensAndPieces:
    def test_every_n_tokens(self) -> None:
        assert lengths(Tokens(n=8).cut("x" * 21, range(1, 22))) == [8, 8, 5]

    def test_a_short_rest_joins_the_step_before(self) -> None:
        assert lengths(Tokens(n=8).cut("x" * 20, range(1, 21))) == [8, 12]

    def test_single_tokens_can_be_steps(self) -> None:
        assert lengths(Tokens(n=1, min_step_tokens=1).cut("abc", [1, 2, 3])) == [1, 1, 1]

    def test_a_number_of_tokens_that_cannot_be_a_step_is_refused(self) -> None:
        with pytest.raises(ValidationError, match="n: 3 is not between"):
            Tokens(n=3)

    def test_sixteen_pieces_of_nearly_equal_length(self) -> None:
        found = lengths(Pieces().cut("x" * 200, range(1, 201)))
        assert len(found) == 16
        assert set(found) == {12, 13}

    def test_fewer_pieces_where_they_would_be_too_short(self) -> None:
        assert lengths(Pieces().cut("x" * 23, range(1, 24))) == [5, 6, 6, 6]

    def test_more_pieces_where_they_would_be_too_long(self) -> None:
        assert lengths(Pieces(m=2, max_step_tokens=10).cut("x" * 30, range(1, 31))) == [10, 10, 10]

    @given(tokenised(), segmenters(Pieces))
    def test_pieces_differ_by_one_token_at_most_and_none_is_short(self, given_: tuple[str, list[int]], by: Pieces) -> None:
        text, ends = given_
        found = lengths(by.cut(text, ends))
        assert not found or max(found) - min(found) <= 1
        assert len(found) <= max(by.m, -(-len(ends) // by.max_step_tokens))
        assert len(found) == 1 or all(n >= by.min_step_tokens for n in found)


class TestAnyWay:
    @given(tokenised(), segmenters())
    def test_the_steps_are_the_solution_in_order(self, given_: tuple[str, list[int]], by: Segmenter) -> None:
        text, ends = given_
        cuts = by.cut(text, ends)
        assert cuts[-1:] == ((Cut(len(ends), len(text)),) if ends else ())
        assert all(n > 0 for n in lengths(cuts))
        assert all(a.char <= b.char for a, b in pairwise((Cut(0, 0), *cuts)))
        assert all(c.char == ends[c.token - 1] for c in cuts[:-1])

    @given(tokenised(), segmenters())
    def test_no_step_is_too_long_and_none_but_the_last_too_short(self, given_: tuple[str, list[int]], by: Segmenter) -> None:
        found = lengths(by.cut(*given_))
        assert all(n <= by.max_step_tokens for n in found)
        assert all(n >= by.min_step_tokens for n in found[:-1])
        if len(found) > 1 and found[-1] < by.min_step_tokens:
            assert found[-2] + found[-1] > by.max_step_tokens

    @given(tokenised(), segmenters(Delimiter, Tags, Tokens))
    def test_a_solution_cut_short_after_a_step_has_the_same_steps_up_to_there(
        self, given_: tuple[str, list[int]], by: Segmenter
    ) -> None:
        """For every cut; with a delimiter, for every cut outside of fences (only the cap cuts inside them)."""
        text, ends = given_
        cuts = by.cut(text, ends)
        closed = [f for f in fences(text) if f[1] is not None] if isinstance(by, Delimiter) else []
        for k, cut in enumerate(cuts, start=1):
            if not any(begin < cut.char < end for begin, end in closed):
                assert by.cut(text[: cut.char], ends[: cut.token]) == cuts[:k]

    @given(tokenised(), st.integers(1, 4))
    def test_without_a_cap_every_delimiter_cut_follows_a_delimiter_and_lies_outside_of_fences(
        self, given_: tuple[str, list[int]], low: int
    ) -> None:
        text, ends = given_
        cuts = Delimiter(min_step_tokens=low, max_step_tokens=1000).cut(text, ends)
        closed = [f for f in fences(text) if f[1] is not None]
        for a, b in pairwise((Cut(0, 0), *cuts[:-1])):
            assert "\n\n" in text[a.char : b.char]
            assert not any(begin < b.char < end for begin, end in closed)

    @given(tokenised(), segmenters(Delimiter, Tags))
    def test_no_step_but_a_last_or_a_capped_one_says_nothing(self, given_: tuple[str, list[int]], by: Segmenter) -> None:
        text, ends = given_
        for a, b in pairwise((Cut(0, 0), *by.cut(text, ends)[:-1])):
            words = text[a.char : b.char].split()
            assert set(words) - {"1.", "-"} or b.token - a.token == by.max_step_tokens

    @given(tokenised(), segmenters(Delimiter, Tags))
    def test_what_the_cut_calls_a_step_is_finished_once_it_was_generated(
        self, given_: tuple[str, list[int]], by: Segmenter
    ) -> None:
        text, ends = given_
        for a, b in pairwise((Cut(0, 0), *by.cut(text, ends)[:-1])):
            step = text[a.char : b.char]
            open_fence = isinstance(by, Delimiter) and any(end is None for _, end in fences(step))
            assert by.unfinished(step, b.token - a.token) == (open_fence and b.token - a.token < by.max_step_tokens)


class TestStepByStep:
    def test_an_engine_stops_where_a_step_ends(self) -> None:
        assert [s.stop() for s in (Delimiter(), Tags(), Tokens(n=9), Pieces())] == [("\n\n",), ("</step>",), (), ()]
        assert [s.step_limit() for s in (Delimiter(max_step_tokens=99), Tokens(n=9))] == [99, 9]

    @pytest.mark.parametrize(
        ("text", "tokens"),
        [
            ("So\n\n", 2),
            ("\n\n" * 5, 10),
            ("1.\n\n" * 3, 9),
            ("Look: $$ a + b\n\n", 8),
            ("Look: ```\na = 1\n\n", 9),
            ("\\[ a = b\n\n", 6),
        ],
    )
    def test_what_is_no_step_yet_goes_on(self, text: str, tokens: int) -> None:
        assert Delimiter().unfinished(text, tokens)

    @pytest.mark.parametrize("text", ["We add two and two.\n\n", "So $$ a = b + c $$\n\n", "a \\\\[ b and \\$$ c.\n\n"])
    def test_a_whole_step_is_finished(self, text: str) -> None:
        assert not Delimiter().unfinished(text, len(tokens_of(text)))

    def test_at_the_cap_an_open_formula_is_finished(self) -> None:
        assert Delimiter().unfinished("$$ a\n\n", 511)
        assert not Delimiter().unfinished("$$ a\n\n", 512)

    def test_a_tagged_step_is_finished_even_in_an_open_formula(self) -> None:
        assert not Tags().unfinished("<step>We pay $$ for it.</step>", 12)
        assert Tags().unfinished("<step>\n</step>", 7)

    def test_a_fixed_number_of_tokens_is_finished_whatever_it_spells(self) -> None:
        assert not Tokens(n=6).unfinished("\n" * 6, 6)
        assert Pieces().unfinished("We", 1)


class TestSettings:
    def test_the_kind_is_told_by_a_word(self) -> None:
        assert CONFIG.validate_python({"by": "tokens", "n": 64}) == Tokens(n=64)
        assert CONFIG.validate_python({"by": "pieces"}) == Pieces(m=16)

    def test_a_newline_may_be_written_as_backslash_n(self) -> None:
        assert CONFIG.validate_python({"by": "delimiter", "delimiter": r"\n\n"}) == Delimiter()
        assert Tags(close=r"</step>\n").stop() == ("</step>\n",)

    @pytest.mark.parametrize(
        ("settings", "complaint"),
        [
            ({"by": "delimiter", "delimiter": ""}, "at least 1 character"),
            ({"by": "delimiter", "max_step_tokens": 8}, "at least twice min_step_tokens"),
            ({"by": "pieces", "m": 0}, "greater than or equal to 1"),
            ({"by": "tokens"}, "required"),
            ({"by": "tags", "closed": "x"}, "not permitted"),
            ({"by": "lines"}, "does not match any of the expected tags"),
        ],
    )
    def test_a_mistake_is_named(self, settings: dict[str, object], complaint: str) -> None:
        with pytest.raises(ValidationError, match=complaint):
            CONFIG.validate_python(settings)


class TestRealSolutions:
    def test_a_line_of_a_gsm8k_solution_is_a_step(self) -> None:
        path = DATA / "gsm8k" / "train_first500.jsonl"
        if not path.exists():
            pytest.skip(f"{path.name} is not beside the repository")
        by_line = Delimiter(delimiter="\n", min_step_tokens=1)
        for row in map(json.loads, path.read_text().splitlines()):
            assert steps(by_line, row["answer"]) == re.findall(r"[^\n]+\n*", row["answer"])

    def test_the_steps_of_bigbench_mistake_solutions_are_found_again(self) -> None:
        folder = DATA / "process_bigbench_mistake"
        if not folder.exists():
            pytest.skip(f"{folder.name} is not beside the repository")
        rows = [json.loads(line) for path in sorted(folder.glob("*.jsonl")) for line in path.read_text().splitlines()]
        solutions = [[part.strip() for part in row["steps"]] for row in rows]
        plain = [parts for parts in solutions if all("\n\n" not in part for part in parts)]
        assert len(plain) > 0.9 * len(rows)
        for parts in plain:
            assert [s.strip() for s in steps(Delimiter(min_step_tokens=1), "\n\n".join(parts))] == parts

"""Master keys: texts that say nothing and yet win with judges ("One Token to Fool LLM-as-a-Judge", arXiv 2507.08794).

Its three kinds are non-words, openers of an answer that does not come, and the word for "solution" in any language (the kinds
read in its abstract, the details in secondary notes). Ours besides: blanks, echoes of the prompt, one word over and over, words
that grant the wish, and the dress of an answer without the answer. No list is complete, so what is left of a text decides: it is
a master key when nothing but words of announcing is left. Whatever has another word, a number, or a sign such as ∞ is none.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from pairwright.annotators.base import Annotating, Annotation, Group, Response
from pairwright.annotators.wording import last_user_text, texts

MASTER_KEYS: dict[str, tuple[str, ...]] = {category: tuple(keys) for category, keys in texts("guard")["keys"].items()}
"""Category -> texts: a collection of ours to test judges with. Echoes are not in it: they depend on the prompt."""

THOUGHTS = re.compile(r"<(think|thinking)>.*?</\1>", re.DOTALL | re.IGNORECASE)
DRESS = re.compile(
    r"```[\w+#.-]+\s*```|</?\s*(?:answer|final_answer|solution|response|output|result|verdict|score|scores)\s*/?>|<\|[a-z_]{1,30}\|>"
    r"|\\(?:boxed|fbox|text|textbf|mathrm|mathbf|frac|dfrac|left|right|quad|[()\[\]])|\$",
    re.IGNORECASE,
)
"""What an answer is dressed in and can be worn empty."""

SENTENCE = re.compile(r"[.!?:;\n。！？：；]+")
ASKS_FOR_MORE = re.compile(r"\b(?:repeat\w*|times|over and over|again and again|in a row)\b", re.IGNORECASE)
ASKS_FOR_ITSELF = re.compile(
    r"(?:^|[.!?:;,\n]|\b(?:please|you|and|then|to))\s*(?:repeat|recite|echo|quote|copy|complete|translate\b[^.?!\n]*\bback)\b",
    re.IGNORECASE,
)
"""Prompts whose own words may be the answer."""
YES_OR_NO = re.compile(
    r"(?:^|[.!?:;,\n])\s*(?:is|are|was|were|am|do|does|did|has|have|had|can|could|will|would|shall|should|may|might|must)\b[^.?!\n]*\?",
    re.IGNORECASE,
)
AGREES = re.compile(r"\bi (?:\w+ ){1,3}so$")  # "I think so"
STEP = re.compile(r"\b(step|part|phase|stage) (?:\d+|one|two|three|i+)\b")
HAN = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
REPEATS, LETTERS = 5, 8  # a word so often, or a letter so often, and nothing else, is a repetition
NAMES = re.compile(r"\b(?:answer|solution|result|response|output|word) (?:is|are|was) (\w+)")  # that may be it
FEW = 3  # "Let's go!" may be an answer
ONE_NAME = re.compile(NAMES.pattern + "$")
LONG_WORD = 4  # letters from which four times the same word is one
RUN = 4  # characters without spaces between words that only announce
ECHO = 8  # characters of a prompt below which saying it again may well be an answer


def master_key(text: str, prompt_text: str = "") -> str | None:
    """Why a response `text` to `prompt_text` is a master key: master_key_blank, _non_word, _opener, _answer_word, _as_requested,
    _repetition, _format or _echo. None if it is none.

    What it cannot know: a text such as "Solution", "-", "?", "The problem is solved.", "I can help you with that."
    or "Here it is." may for once be the right answer (`guarded` asks the reference).
    """
    category = _category(THOUGHTS.sub(" ", text), prompt_text)
    return None if category is None else f"master_key_{category}"


def guarded(group: Group) -> dict[str, str]:
    """response id -> why a judge must not score it, for those of the group's responses that are master keys. A response that says
    what the reference says is none."""
    prompt_text = last_user_text(group.prompt) or ""
    reference = (group.reference or "").strip().casefold()
    found = {
        r.id: master_key(r.text, prompt_text) for r in group.responses if not reference or r.text.strip().casefold() != reference
    }
    return {id: reason for id, reason in found.items() if reason is not None}


def unless_guarded(group: Group, guard: bool, judge: Callable[[Sequence[Response]], Annotating]) -> Annotating:
    """What `judge` says of the responses that are no master keys, and why it was not asked of the others."""
    kept_out = guarded(group) if guard else {}
    judged = [r for r in group.responses if r.id not in kept_out]
    made = (yield from judge(judged)) if judged else []
    found = {a.subject: a for a in made} | {id: Annotation(id, reason=why) for id, why in kept_out.items()}
    return [found[r.id] for r in group.responses]


def _category(text: str, prompt_text: str) -> str | None:
    if not any(unicodedata.category(char)[0] not in "ZC" for char in text):
        return "blank"
    if _repeats(text) and not ASKS_FOR_MORE.search(prompt_text):
        return "repetition"
    if AGREES.search(_words(text)) and YES_OR_NO.search(prompt_text):
        return None
    if _echoes(text, prompt_text) and not ASKS_FOR_ITSELF.search(prompt_text):
        return "echo"
    bare = DRESS.sub(" ", text)
    if any(_is_sign(char) for char in bare):
        return None
    sentences = [words for part in SENTENCE.split(bare) if (words := _words(part))]
    kinds = [_announces(sentence) for sentence in sentences if not _greets(sentence)]
    if None in kinds or (sentences and not kinds):
        return None
    return "format" if bare != text else kinds[0] if kinds else "non_word"


def _words(text: str) -> str:
    """Letters and digits in lower case, one space between words; marks that stand on letters are left out."""
    return " ".join(re.findall(r"[^\W_]+", unicodedata.normalize("NFKC", text).casefold()))


def _is_sign(char: str) -> bool:
    """A sign that can be an answer: ∞, <, €, an emoji; not punctuation, nor what lines and quotes are drawn with."""
    return unicodedata.category(char) in ("Sm", "Sc", "So") and char not in "|~"


def _repeats(text: str) -> bool:
    words = _words(text).split()
    if len(set(words)) != 1 or any(char.isdigit() for char in words[0]):
        return False
    return len(words) >= REPEATS - (len(words[0]) >= LONG_WORD) or (len(set(words[0])) == 1 and len(words[0]) >= LETTERS)


def _echoes(text: str, prompt_text: str) -> bool:
    """The prompt again, with nothing around it but announcements."""
    prompt, said = f" {_words(prompt_text)} ", f" {_words(text)} "
    if len(prompt) < ECHO + 2 or prompt not in said:
        return False
    before, _, after = said.partition(prompt)
    return all(not part or _announces(part) or part in _known()["asides"] for part in (before.strip(), after.strip()))


def _announces(sentence: str) -> str | None:
    """The category of a sentence (as `_words` gives it) that only announces; None if it says anything."""
    known, words = _known(), STEP.sub(r"\1", sentence).split()
    while words and " ".join(words) not in known["canned"] and words[0] in known["greetings"]:
        words = words[1:]
    rest = " ".join(words)
    bare = " ".join(words[words[0] in known["articles"] :]) if words else ""
    if kind := known["canned"].get(rest) or known["canned"].get(bare):
        return str(kind)
    if len(rest) >= RUN and HAN.search(rest) and known["signs"] >= {*rest}:
        return "opener"
    if not words or len(words[-1]) == 1:  # "The answer is A"
        return None
    if f"{rest} ".startswith(known["opens"]) and known["verbs"] & {*words} and known["opening"] >= {*words}:
        return "opener"
    if f"{rest} ".startswith(known["grants"]) and known["granting"] >= {*words} and not ONE_NAME.search(rest):
        return "as_requested"
    speaks = (len(words) > 2 and known["about"] & {*words}) or (len(words) > FEW and f"{rest} ".startswith(known["lets"]))
    if speaks and known["empty"] >= {*words} and not NAMES.search(rest):
        return "opener"
    return None


def _greets(sentence: str) -> bool:
    """Such as "Sure": an answer where it stands alone, nothing where it does not."""
    return sentence not in _known()["canned"] and _known()["greetings"] >= {*sentence.split()}


@cache
def _known() -> dict[str, Any]:
    words = texts("guard")
    listed = {kind: MASTER_KEYS[kind] for kind in ("opener", "answer_word", "as_requested")}
    listed["opener"] += tuple(words["more_openers"])
    listed["answer_word"] += tuple(words["more_answer_words"])
    canned = {_words(key): kind for kind, keys in listed.items() for key in keys}
    about = frozenset(words["empty"]["about"].split())
    verbs = frozenset(words["openers"]["verbs"].split())
    return {
        "canned": canned | dict.fromkeys(words["placeholders"], "format"),
        "asides": frozenset(words["asides"]),
        "greetings": frozenset(words["greetings"]),
        "opens": tuple(f"{begin} " for begin in words["openers"]["begins"]),
        "verbs": verbs,
        "opening": verbs | frozenset(words["openers"]["words"].split()),
        "grants": tuple(f"{begin} " for begin in words["grants"]["begins"]),
        "granting": frozenset(words["grants"]["words"].split()),
        "articles": frozenset(words["articles"]),
        "signs": frozenset("".join(key for key in canned if HAN.search(key))) | {" "},
        "lets": tuple(f"{begin} " for begin in words["openers"]["begins"] if begin.startswith("let")),
        "about": about,
        "empty": about | frozenset(words["empty"]["words"].split()),
    }

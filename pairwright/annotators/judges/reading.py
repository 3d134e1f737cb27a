"""What a judge's answer says. Every reader gives a value or an `Unread` with the reason; never a guess, never an exception.

    text = said(completion)                       # the words after any thoughts; Unread: cut, empty_answer
    verdict = read(completion, verdict_in)        # "a", "b", "tie"; Unread: no_verdict, two_verdicts, unknown_verdict, refused
    score = number_in(text, 0, 5)                 # Unread: no_score, two_scores, out_of_range, wrong_scale, refused
    scores = numbers_in(text, 3, 1, 10)           # Unread: no_scores, wrong_count, out_of_range, refused
    found = json_in(text)                         # Unread: no_json, bad_json, refused

Only new tokens are ever given here: what was put to the judge is no part of its answer.
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from pairwright.engines.requests import Completion, Generated

T = TypeVar("T")

THOUGHT_END = re.compile(r"</\s*(?:think|thinking|thought|reasoning)\s*>", re.IGNORECASE)
THOUGHT = re.compile(r"<\s*(?:think|thinking|thought|reasoning)\s*>", re.IGNORECASE)
REFUSAL = re.compile(
    r"""\W*(?:(?:i\W?m|i\s+am)\s+(?:(?:very|so|truly|really)\s+)?(?:sorry|afraid|unable|not\s+able|not\s+comfortable)\b
    |sorry\b|(?:unfortunately,?\s+)?i\s+(?:can\W?t|cannot|can\s+not|won\W?t|will\s+not|must\s+decline|do\s+not\s+feel|don\W?t\s+feel)\b
    |(?:i\s+)?(?:apologi[sz]e|apologies)\b|as\s+an?\s+(?:ai|language\s+model)\b|i\s+refuse\b)""",
    re.IGNORECASE | re.VERBOSE,
)

VERDICT_MENTION = re.compile(r"<\s*/?\s*verdict\b", re.IGNORECASE)
TAGGED = re.compile(r"<\s*verdict\s*>([^<]{0,80})(?:<\s*/\s*verdict\s*>|\Z)", re.IGNORECASE)
BOXED = re.compile(r"\[\[([^\[\]]{0,80})\]\]")
LABEL = re.compile(r"[\W_]*(?:(?:response|answer|assistant|option|candidate)[\W_]+)?([abc]|tie)[\W_]*", re.IGNORECASE)
VERDICTS: dict[str, Literal["a", "b", "tie"]] = {"a": "a", "b": "b", "c": "tie", "tie": "tie"}

NUMBER = r"[-+]?\d+(?:\.\d+)?"
SCORE_TAG = re.compile(r"<\s*score\s*>(?P<value>(?:(?!<\s*/?\s*score\b).)*)(?=(?P<about>[^\n]*))", re.IGNORECASE | re.DOTALL)
SCORE_LINE = re.compile(
    r"^(?:[^\w\n]|_)*(?:(?:so|thus|hence|therefore|the|my|final|overall|total)\b[^\w\n]*)*"
    r"(?:(?:score|rating|grade)(?![^\W_])(?:[ \t]*(?P<about>\([^()\n]{0,30}\)))?[\"'*_` \t]*(?:[:=：]|\bis\b:?)\s*(?:\\boxed)?"
    r"|\\boxed|(?<=\[\[))(?P<value>[^\n]*)",
    re.IGNORECASE | re.MULTILINE,
)
SCORED = re.compile(rf"[\"'*_`\s\[{{(]*(?P<number>{NUMBER})(?!\w)(?P<rest>.*)", re.DOTALL)
SCALE = re.compile(  # /5, out of 5, (1-5), %
    rf"(?:/|\b(?:out\s+)?of\b|(?<=\d)\s*(?:[-–—]|\bto\b)(?=\s*{NUMBER}\s*\)))\s*(?P<high>{NUMBER})|(?P<percent>%)", re.IGNORECASE
)
MORE = re.compile(r"[*_`\s]*(?:(?:(?:[-–—~,]|to\b|or\b|and\b)\s*)?[-+]?\d|\.\d)", re.IGNORECASE)

LISTS = (
    re.compile(r"<\s*scores\s*>([^<]*)(?:<\s*/\s*scores\s*>|\Z)", re.IGNORECASE),
    re.compile(r"\\boxed\{([^{}]*)\}"),
    re.compile(rf"\[(\s*{NUMBER}(?:\s*[,;]\s*{NUMBER})*\s*)\]"),
)


@dataclass(frozen=True, slots=True)
class Unread:
    """An answer that says nothing that can be used, and why (snake_case, the same for equal causes)."""

    reason: str


def said(completion: Completion) -> str | Unread:
    """What the judge says after its thoughts. An answer the length limit ended, in its thoughts or later, is `cut`."""
    text = THOUGHT_END.split(completion.text)[-1]
    if completion.finish_reason == "length" or THOUGHT.search(text):
        return Unread("cut")
    return text.strip() or Unread("empty_answer")


def read(completion: Completion, reader: Callable[[str], T | Unread]) -> T | Unread:
    """What `reader` finds in what the judge says."""
    text = said(completion)
    return text if isinstance(text, Unread) else reader(text)


def commonest(unread: Sequence[Unread]) -> str:
    """The reason that most of `unread` have, the first of equals."""
    return Counter(x.reason for x in unread).most_common(1)[0][0]


def together(generated: Generated) -> str:
    """All that was said, as the raw text of a row."""
    return "\n\n---\n\n".join(completion.text for completion in generated.completions)


def nothing_in(text: str, reason: str) -> Unread:
    """Why nothing was found in `text`: it is empty, it refuses, or else `reason`."""
    if not text.strip():
        return Unread("empty_answer")
    return Unread("refused" if REFUSAL.match(text) else reason)


def verdict_in(text: str, ties: bool = True) -> Literal["a", "b", "tie"] | Unread:
    """The verdict: A, B, or with `ties` C or tie. In <verdict></verdict>; else in [[ ]] on a last line of its own, for double
    brackets in a sentence or a matrix are none; else as the only word. A verdict may be said again, but two that differ are none:
    which of them was meant is a guess."""
    tags = VERDICT_MENTION.search(text)
    found = [text] if LABEL.fullmatch(text) else TAGGED.findall(text) if tags else _boxed(text)
    if not found:
        return nothing_in(text, "unknown_verdict" if tags else "no_verdict")
    labels = [LABEL.fullmatch(inside) for inside in found]
    verdicts = {VERDICTS[label[1].lower()] for label in labels if label}
    if len(verdicts) > 1:
        return Unread("two_verdicts")
    known = verdicts and all(labels) and (ties or "tie" not in verdicts)
    return verdicts.pop() if known else Unread("unknown_verdict")


def number_in(text: str, low: float, high: float) -> float | Unread:
    """The score, `low` to `high`: in <score></score> if there is a tag, else after "score:" or the like, or in a box, on a line
    of its own, else as the only word. A number with other words beside it is none. A score may be said again, but different ones
    are `two_scores`, as is "3-4". "4/5" and "4 out of 5" are 4 where `high` is 5, and `wrong_scale` where it is not."""
    marks = list(SCORE_TAG.finditer(text)) or list(SCORE_LINE.finditer(text))
    found = [_score(mark["value"], mark["about"] or "", low, high) for mark in marks] or [_score(text, "", low, high)]
    if len({x for x in found if not isinstance(x, Unread)}) > 1:
        return Unread("two_scores")
    return nothing_in(text, "no_score") if found[-1] == Unread("no_score") else found[-1]


def numbers_in(text: str, n: int, low: float, high: float) -> tuple[float, ...] | Unread:
    """The last list of `n` scores: in <scores></scores>, else in \\boxed{}, else in [ ]; between commas, semicolons or spaces."""
    lists = next((found for kind in LISTS if (found := kind.findall(text))), None)
    if lists is None:
        return nothing_in(text, "no_scores")
    entries = [entry for entry in re.split(r"[\s,;\[\]]+", lists[-1]) if entry]
    if not all(re.fullmatch(NUMBER, entry) for entry in entries):
        return Unread("no_scores")
    if len(entries) != n:
        return Unread("wrong_count")
    numbers = [_in_range(float(entry), low, high) for entry in entries]
    bad = next((x for x in numbers if isinstance(x, Unread)), None)
    return bad or tuple(x for x in numbers if not isinstance(x, Unread))


def json_in(text: str) -> dict[str, Any] | Unread:
    """The last JSON object. Forgiven: words and code fences around it, a comma too many, single quotes. Not forgiven: an object
    that does not end, a key given twice, a number that is none."""
    spans = _objects(text)
    if not spans:
        return nothing_in(text, "no_json")
    last = spans[-1]
    if last is None:
        return Unread("bad_json")
    try:
        value = json.loads(last, object_pairs_hook=_once, parse_constant=_refuse)
    except RecursionError:
        return Unread("bad_json")
    except ValueError:
        value = _python(last)
    return value if isinstance(value, dict) and all(isinstance(k, str) for k in value) else Unread("bad_json")


def _boxed(text: str) -> list[str]:
    """The labels in [[ ]] on lines with nothing else, if the last line is one of them."""
    lines = [line for line in text.splitlines() if line.strip()]
    boxes = [[] if re.search(r"[^\W_]", BOXED.sub("", line)) else BOXED.findall(line) for line in lines]
    labels = [found if all(map(LABEL.fullmatch, found)) else [] for found in boxes]
    return [label for found in labels for label in found] if labels and labels[-1] else []


def _score(value: str, about: str, low: float, high: float) -> float | Unread:
    """The number that `value` is. about: what else its line says, where another scale may be named."""
    match = SCORED.match(value)
    if match is None:
        return Unread("no_score")
    if MORE.match(match["rest"]):
        return Unread("two_scores")
    scales = [100.0 if scale["percent"] else float(scale["high"]) for scale in SCALE.finditer(f"{match['rest']}\n{about}")]
    if any(scale != high for scale in scales):
        return Unread("wrong_scale")
    if re.search(r"[^\W_]", SCALE.sub("", match["rest"])):
        return Unread("no_score")
    return _in_range(float(match["number"]), low, high)


def _in_range(number: float, low: float, high: float) -> float | Unread:
    return number if low <= number <= high else Unread("out_of_range")


def _objects(text: str) -> list[str | None]:
    """Every outermost {...} of `text`, in order; None for one that does not end. Braces in double quotes do not count."""
    spans: list[str | None] = []
    depth, start, quoted, escaped = 0, 0, False, False
    for at, char in enumerate(text):
        if escaped:
            escaped = False
        elif depth and char == "\\":
            escaped = True
        elif depth and char == '"':
            quoted = not quoted
        elif char == "{" and not quoted:
            start, depth = (at if depth == 0 else start), depth + 1
        elif char == "}" and depth and not quoted:
            depth -= 1
            if depth == 0:
                spans.append(text[start : at + 1])
    return [*spans, None] if depth else spans


def _python(text: str) -> Any:
    """`text` as a Python literal, which forgives more than JSON does; None if it is none."""
    names = {"true": "True", "false": "False", "null": "None"}
    spelled = re.sub(r"(?<=[:,\[])(\s*)(true|false|null)(?=\s*[,}\]])", lambda m: m[1] + names[m[2]], text)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(spelled, mode="eval")
        for node in ast.walk(tree):
            if isinstance(node, ast.Dict):
                keys = [ast.dump(key) for key in node.keys if key is not None]
                if len(set(keys)) < len(node.keys):
                    return None
        return ast.literal_eval(tree)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) < len(pairs):
        raise ValueError("a key is given twice")
    return dict(pairs)


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no number")

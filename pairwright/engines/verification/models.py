"""The verifiers a recipe may name. All are light: a few processes, no GPU, loaded beside whatever model is resident."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import importlib.util
import re
from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator

from pairwright.engines.base import ModelConfig
from pairwright.engines.requests import Verified, Verify
from pairwright.engines.verification.answers import LONGEST, balanced, boxed, extract, shortened
from pairwright.engines.verification.engine import Question, VerificationEngine
from pairwright.engines.verification.equality import bare, fold
from pairwright.engines.verification.pool import WorkerPool
from pairwright.errors import PairwrightError
from pairwright.ids import digest

VERSION = 2  # of how answers are found and made comparable; part of every fingerprint


class Verifier(ModelConfig):
    """What verifiers share. A verdict is right, wrong, or unparsed with one of these reasons: no_answer, cut (by the length
    limit, with no answer that is marked as one), answer_too_long (over 2,000 characters), reference_unparsed, answer_unparsed,
    time_out, verifier_memory, verifier_crashed, verifier_error."""

    provides: ClassVar[frozenset[str]] = frozenset({"verify"})
    light: ClassVar[bool] = True

    @abstractmethod
    def read(self, request: Verify) -> Verified | Question:
        """The verdict if it needs no worker, else the question for one."""

    def load(self) -> VerificationEngine:
        """Starts the workers, if there are any, and does not wait for them."""
        return VerificationEngine(self.read)


class PooledVerifier(Verifier):
    """A verifier that runs in processes which are killed when they take too long."""

    workers: int = Field(2, ge=1, le=256, description="processes side by side")
    seconds: float = Field(5.0, gt=0, description="time for one comparison; one that takes longer is `time_out`")
    memory_mib: int = Field(1024, ge=16, description="memory for one worker, on top of what it needs to start (Linux only)")
    tasks_per_worker: int = Field(2000, ge=1, description="comparisons after which a worker is replaced by a fresh one")

    def load(self) -> VerificationEngine:
        return VerificationEngine(self.read, WorkerPool(self.model_dump(), self.workers, self.seconds, self.tasks_per_worker))

    def _settings(self) -> dict[str, Any]:
        """What a verdict depends on: the limits too, for they decide between a verdict and none."""
        return self.model_dump(exclude={"workers", "tasks_per_worker"})


class MathVerifier(PooledVerifier):
    """Mathematical equality by math-verify: 1/2, 0.5 and \\frac12 are equal, 50 % equals both 50 and 0.5, `x = 5` equals 5.
    Decimal numbers are compared to six digits, so that 0.333333 is 1/3 and 0.333 is not. Words, dates and times are compared as
    text, and where both answers have a unit, the units must be the same: 5 m equals 5 and 5 meters, but not 5 cm."""

    engine: Literal["math_verify"] = "math_verify"

    def fingerprint(self) -> str:
        """Depends on the limits and the versions of math-verify and what it reads with; not on how many workers there are."""
        versions = [_version(name) for name in ("math-verify", "latex2sympy2_extended", "sympy")]
        return digest("verifier", VERSION, versions, self._settings())

    def label(self) -> str:
        return f"math-verify {_version('math-verify')}"

    def read(self, request: Verify) -> Verified | Question:
        if not balanced(request.reference):
            return Verified("unparsed", reason="reference_unparsed")
        answer = _answer(request)
        return {"reference": request.reference, "answer": answer} if isinstance(answer, str) else answer


class ExactVerifier(Verifier):
    """Equality of texts: white space never matters, case only with `ignore_case: false`."""

    engine: Literal["exact"] = "exact"
    ignore_case: bool = True

    def fingerprint(self) -> str:
        return digest("verifier", VERSION, self.model_dump())

    def label(self) -> str:
        return "exact"

    def read(self, request: Verify) -> Verified | Question:
        answer = _answer(request)
        if not isinstance(answer, str):
            return answer
        given, wanted = answer, bare(request.reference)
        equal = fold(given) == fold(wanted) if self.ignore_case else given == wanted
        return Verified("right" if equal else "wrong", answer)


class RegexVerifier(PooledVerifier):
    """The last match of `pattern` is the answer (its first named group, else its first group, else all of it), compared as text.
    A match marks an answer, so it counts even in a solution that was cut."""

    engine: Literal["regex"] = "regex"
    pattern: str = Field(description="a Python regular expression")
    ignore_case: bool = True
    workers: int = Field(1, ge=1, le=256, description="processes side by side")

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"`pattern` is not a regular expression ({error}): mend {pattern!r}") from error
        return pattern

    def fingerprint(self) -> str:
        return digest("verifier", VERSION, self._settings())

    def label(self) -> str:
        return "regex"

    def read(self, request: Verify) -> Verified | Question:
        if not request.reference.strip():
            return Verified("unparsed", reason="reference_unparsed")
        return {"reference": request.reference, "text": request.text, "unfound": "cut" if request.cut else "no_answer"}


class FunctionVerifier(PooledVerifier):
    """A user's function `(text, reference) -> bool | None` (True right, False wrong, None unparsed), given the whole solution.
    One that was cut is shown to it only if it holds a \\boxed{...}: it cannot know that the rest is missing."""

    engine: Literal["function"] = "function"
    call: str = Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$", description="`package.module:function`, importable here")

    def fingerprint(self) -> str:
        """Depends on the text of the function's module too, not on what that imports. Raises PairwrightError if there is none."""
        return digest("verifier", VERSION, self._settings(), hashlib.sha256(self._source().read_bytes()).hexdigest())

    def label(self) -> str:
        return self.call

    def read(self, request: Verify) -> Verified | Question:
        if request.cut and boxed(request.text) is None:
            return Verified("unparsed", reason="cut")
        return {"reference": request.reference, "text": request.text}

    def _source(self) -> Path:
        module = self.call.partition(":")[0]
        try:
            spec = importlib.util.find_spec(module)
        except Exception:  # a parent package that is not there, or that fails as it is imported
            spec = None
        if spec is None or spec.origin is None or not Path(spec.origin).is_file():
            raise PairwrightError(
                f"the verifier {self.call!r} is not there: make the module {module!r} importable (install it, or put its folder "
                "on PYTHONPATH), or mend `call`"
            )
        return Path(spec.origin)


def _answer(request: Verify) -> str | Verified:
    """The answer to compare, or the verdict where there is nothing to compare. A bad reference is named first."""
    if not request.reference.strip() or len(request.reference) > LONGEST:
        return Verified("unparsed", reason="reference_unparsed")
    answer = extract(request.text, request.cut)
    if answer is None:
        return Verified("unparsed", reason="cut" if request.cut else "no_answer")
    if len(answer) > LONGEST:
        return Verified("unparsed", shortened(answer), "answer_too_long")
    return answer


@functools.cache
def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        raise PairwrightError(
            f"the verifier `math_verify` needs the package {package}: run `pip install 'math-verify[antlr4_13_2]==0.9.0'`"
        ) from None

"""Formats in which step labels are given to others, by name."""

from __future__ import annotations

from pairwright.storage.exports.base import Format
from pairwright.storage.exports.math_shepherd import MathShepherd
from pairwright.storage.exports.openr import Openr
from pairwright.storage.exports.prm800k import Prm800k
from pairwright.storage.exports.processbench import ProcessBench
from pairwright.storage.exports.qwen_prm import QwenPrm
from pairwright.storage.exports.rlhflow import Rlhflow
from pairwright.storage.exports.step_dpo import StepDpo
from pairwright.storage.exports.trl_stepwise import TrlStepwise
from pairwright.storage.exports.value import Value

_ALL: tuple[type[Format], ...] = (
    TrlStepwise,
    Prm800k,
    MathShepherd,
    QwenPrm,
    ProcessBench,
    Rlhflow,
    Openr,
    Value,
    StepDpo,
)
FORMATS: dict[str, type[Format]] = {kind.name: kind for kind in _ALL}

"""Formats in which pairs, labelled responses and step labels are given to others, by name."""

from __future__ import annotations

from pairwright.storage.exports.axolotl import Axolotl
from pairwright.storage.exports.base import Format
from pairwright.storage.exports.jsonl import Jsonl, JsonlUnpaired
from pairwright.storage.exports.llama_factory import LlamaFactory, LlamaFactoryKto
from pairwright.storage.exports.math_shepherd import MathShepherd
from pairwright.storage.exports.ms_swift import MsSwift
from pairwright.storage.exports.nemo_rl import NemoRl
from pairwright.storage.exports.openr import Openr
from pairwright.storage.exports.openrlhf import OpenRlhf
from pairwright.storage.exports.prm800k import Prm800k
from pairwright.storage.exports.processbench import ProcessBench
from pairwright.storage.exports.qwen_prm import QwenPrm
from pairwright.storage.exports.rlhflow import Rlhflow
from pairwright.storage.exports.step_dpo import StepDpo
from pairwright.storage.exports.trl_preference import TrlImplicit, TrlPreference, TrlPreferenceText, TrlReward
from pairwright.storage.exports.trl_stepwise import TrlStepwise
from pairwright.storage.exports.trl_unpaired import TrlUnpaired
from pairwright.storage.exports.value import Value

_ALL: tuple[type[Format], ...] = (
    *(TrlPreference, TrlPreferenceText, TrlImplicit, TrlReward, TrlUnpaired),
    *(LlamaFactory, LlamaFactoryKto, Axolotl, OpenRlhf, NemoRl, MsSwift, Jsonl, JsonlUnpaired),
    *(TrlStepwise, Prm800k, MathShepherd, QwenPrm, ProcessBench, Rlhflow, Openr, Value, StepDpo),
)
FORMATS: dict[str, type[Format]] = {kind.name: kind for kind in _ALL}

"""The recipe: one YAML that says everything a dataset depends on, and under `run` how to run it on this machine."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from pairwright.annotators.base import Annotator
from pairwright.annotators.comparing import Comparer
from pairwright.annotators.registry import BUILT_IN, available, load
from pairwright.annotators.routing.domain import DomainRouter
from pairwright.annotators.steps.base import VERIFIER
from pairwright.engines.models import AnyModel
from pairwright.engines.requests import Sampling
from pairwright.errors import PairwrightError
from pairwright.files import check_name
from pairwright.pipelines.combine import CombineConfig
from pairwright.pipelines.filters import AnyFilter
from pairwright.pipelines.filters.base import check_names
from pairwright.pipelines.hygiene.evals import anchored
from pairwright.pipelines.hygiene.split import SplitConfig
from pairwright.pipelines.mistakes import Known, keys_of, models_below, models_in, near, sentences
from pairwright.pipelines.pairs import PairConfig
from pairwright.pipelines.prompts.sources import PromptSource
from pairwright.pipelines.relabel import AnyRelabel
from pairwright.pipelines.settings import override, read_settings
from pairwright.pipelines.steps.config import StepsConfig


class Part(BaseModel):
    """A part of the recipe; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class SampleConfig(Part):
    """How the policy's responses are drawn."""

    n: int = Field(4, ge=1, le=1024, description="responses per prompt")
    temperature: float = Field(0.8, ge=0)
    top_p: float = Field(0.95, gt=0, le=1)
    top_k: int = Field(0, ge=0, description="0: off")
    max_tokens: int = Field(512, ge=1)
    stop: tuple[str, ...] = ()
    system: str | None = Field(None, description="a system turn put before every prompt that has none")
    seed: int = 0

    @property
    def sampling(self) -> Sampling:
        """The part an engine needs."""
        return Sampling(self.temperature, self.top_p, self.top_k, self.max_tokens, self.stop)


class AnnotatorSpec(Part):
    """One annotator of the recipe: `use` names the method, `name` the annotations it makes; the rest are the method's own."""

    model_config = ConfigDict(extra="allow", frozen=True)

    use: str
    name: str = Field("", pattern=r"^([A-Za-z_][A-Za-z0-9_]*)?$")

    @model_validator(mode="after")
    def _default_name(self) -> AnnotatorSpec:
        if not self.name:
            object.__setattr__(self, "name", self.use)
        return self

    def build(self) -> Annotator[Any]:
        """The annotator with its settings, checked by its own config class."""
        return load(self.use).configured(self.model_extra or {})


class RunConfig(Part):
    """How to run on this machine. Nothing here changes what comes out."""

    max_resident: int = Field(1, ge=1, description="models loaded at a time")
    shard_prompts: int = Field(256, ge=1, description="prompts per finished file")
    max_waiting: int = Field(200_000, ge=1, description="requests that may wait for a model that is not loaded")
    spans: int = Field(1, ge=1, description="under Prefect: tasks per phase; at least one for each of the `workers`")
    runner: Literal["threads", "processes", "ray", "dask"] = Field("threads", description="under Prefect: what runs the tasks")
    workers: int = Field(1, ge=1, description="processes of the `runner`, each with models of its own")
    cluster: str | None = Field(None, description="address of a Ray or Dask cluster at work; default: one for this build alone")

    @model_validator(mode="after")
    def _fit(self) -> RunConfig:
        if self.runner == "threads" and self.workers > 1:
            raise ValueError("`workers` are processes of a `runner`: set `runner` to processes, ray or dask")
        if self.cluster is not None and self.runner not in ("ray", "dask"):
            raise ValueError("`cluster` is the address of a Ray or Dask cluster: set `runner` to ray or dask")
        return self


class Recipe(Part):
    """Everything a dataset depends on."""

    dataset: str = Field(description="the dataset's name: a folder below `root`")
    root: str = Field("data", description="where datasets are kept; relative to the working folder")
    prompts: list[PromptSource] = Field(min_length=1, description="one source or a list of them")
    models: dict[str, AnyModel] = Field(description="role -> model; a string is another role's name, or a model to run")
    sample: SampleConfig = SampleConfig()
    annotators: list[AnnotatorSpec] = Field([], description="whole responses: preference pairs")
    combine: CombineConfig | None = None
    pair: PairConfig = PairConfig()
    relabel: list[AnyRelabel] = Field([], description="turn pairs around or soften their labels, before filters")
    filters: list[AnyFilter] = []
    split: SplitConfig | None = Field(None, description="hold some prompts out: the published tables get a split `test`")
    steps: StepsConfig | None = Field(None, description="step labels: tree search over solutions of questions with a reference")
    run: RunConfig = RunConfig()

    @model_validator(mode="before")
    @classmethod
    def _spell_out(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        data = dict(data)
        if isinstance(data.get("prompts"), Mapping):
            data["prompts"] = [data["prompts"]]
        if isinstance(data.get("models"), Mapping):
            models = dict(data["models"])
            if data.get("steps") is not None or _verifies(data):
                models.setdefault(VERIFIER, {"engine": "math_verify"})
            data["models"] = _with_system(_resolve_aliases(models), data.get("sample"))
        if isinstance(data.get("annotators"), list):
            data["annotators"] = [{"use": a} if isinstance(a, str) else a for a in data["annotators"]]
            if not data["annotators"]:
                pass
            elif "combine" not in data:
                specs = [a for a in data["annotators"] if isinstance(a, Mapping) and isinstance(a.get("use"), str)]
                data["combine"] = {"scores": {name: {} for name in _rating(specs)}}
            elif isinstance(data["combine"], str):
                data["combine"] = {"scores": data["combine"]}
        return data

    @field_validator("dataset")
    @classmethod
    def _safe_name(cls, value: str) -> str:
        return check_name(value, "dataset")

    @model_validator(mode="after")
    def _check(self) -> Recipe:
        for annotator in self.annotators:
            load(annotator.use)
        if not self.annotators and self.steps is None:
            raise PairwrightError("a recipe needs `annotators` (preference pairs), `steps` (step labels), or both: add one")
        if not self.annotators and (self.combine is not None or self.filters or self.relabel):
            raise PairwrightError(
                "`combine`, `relabel` and `filters` are about pairs of responses, and there are no `annotators`: add some"
            )
        check_names([*self.relabel, *self.filters])
        self._check_promises()
        names = [a.name for a in self.annotators]
        for name in names:
            if names.count(name) > 1:
                raise PairwrightError(f"two annotators are called {name!r}: give each its own `name`")
        needs = [item for f in self.filters for item in f.requires().items()]
        needs += [(self.pair.ches.annotator, "displacement")] if self.pair.ches else []
        for needed, method in needs:
            if needed not in names:
                self.annotators.append(AnnotatorSpec(use=method, name=needed))
                names.append(needed)
        readers = [("`combine`", tuple(self.combine.scores))] if self.combine else []
        readers += [(f"the relabelling {r.name!r}", r.reads()) for r in self.relabel]
        readers += [(f"the filter {f.name!r}", f.reads()) for f in self.filters]
        for who, name in [(who, name) for who, read in readers for name in read]:
            if name not in names:
                raise PairwrightError(
                    f"{who} uses {name!r}, but the recipe's annotators are {', '.join(names)}{near(name, names)}"
                )
        uses = {a.name: a.use for a in self.annotators}
        stores = [(f"the filter {f.name!r}", *item) for f in self.filters for item in f.methods().items()]
        stores += [("`pair.ches`", self.pair.ches.annotator, ("displacement",))] if self.pair.ches else []
        for who, name, methods in stores:
            if uses[name] in BUILT_IN and uses[name] not in (*methods, "domain_router"):
                fit = [n for n, use in uses.items() if use in methods] or [f"one with `use: {methods[0]}`"]
                raise PairwrightError(
                    f"{who} reads what an annotator of method {' or '.join(methods)} stores, and {name!r} is of method "
                    f"{uses[name]}: name {' or '.join(fit)} as its annotator"
                )
        comparing = [a.name for a in self.annotators if issubclass(load(a.use), Comparer | DomainRouter)]
        for f in self.filters:
            if idle := [name for name in f.compares() if name not in comparing]:
                others = f"one of {', '.join(comparing)}" if comparing else "an annotator that does, such as pairwise"
                raise PairwrightError(f"the filter {f.name!r} reads comparisons, and {idle[0]} compares nothing: name {others}")
        return self

    def _check_promises(self) -> None:
        """What the pair rule promises of the chosen response does not hold once the pair is turned around."""
        promised = {"chosen_floor": "floor", "ches": "ches"}
        for key, use in promised.items():
            if getattr(self.pair, key) is not None and (turns := [r.name for r in self.relabel if r.flips()]):
                raise PairwrightError(
                    f"`pair.{key}` picks pairs before the relabelling {turns[0]!r} turns some around, and would not hold of "
                    f"these: use the filter `{use}`, which sees pairs as they are published, or do not flip"
                )

    def cut_about(self) -> list[Any]:
        """What the pairs depend on besides stored responses and annotations."""
        rules: list[BaseModel] = [self.pair, *([self.combine] if self.combine else [])]
        others = [*([self.split] if self.split else []), *self.relabel, *self.filters]
        return [*(json.loads(r.model_dump_json()) for r in rules), *(r.about() for r in others)]

    def built(self) -> dict[str, Annotator[Any]]:
        """The annotators by name."""
        return {spec.name: spec.build() for spec in self.annotators}

    def role_needs(self) -> dict[str, dict[str, frozenset[str]]]:
        """Who needs what of which role: role -> who -> what its engine must provide."""
        needs: dict[str, dict[str, frozenset[str]]] = {}
        if self.annotators:
            needs["policy"] = {"sample": frozenset({"generate"})}
        for name, annotator in self.built().items():
            for role, wants in annotator.roles().items():
                needs.setdefault(role, {})[f"annotator {name}"] = wants
        for role, by_whom in self.steps.role_needs().items() if self.steps else ():
            needs.setdefault(role, {}).update(by_whom)
        return needs


def read_recipe(path: Path) -> dict[str, Any]:
    """The settings in a recipe's file; the paths of evaluations, which are kept with a version, start at its folder."""
    data = read_settings(path)
    rules = data.get("filters")
    for rule in rules if isinstance(rules, list) else ():
        if isinstance(rule, dict) and "evals" in rule:
            rule["evals"] = anchored(rule["evals"], path.absolute().parent)
    return data


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe and apply dot-path overrides such as `sample.n=8` or `annotators.0.reduction=mean`."""
    data = read_recipe(path)
    for text in overrides:
        override(data, text)
    return parse_recipe(data, str(path))


def parse_recipe(data: Mapping[str, Any], where: str) -> Recipe:
    """A checked recipe; every mistake is named with its place and, where there is one, the nearest right name."""
    prefix: list[str] = []
    roots: list[type[BaseModel]] = [Recipe]
    try:
        recipe = Recipe.model_validate(data)
        for i, spec in enumerate(recipe.annotators):
            prefix, roots = ["annotators", str(i)], [load(spec.use).Config]
            spec.build()
    except ValidationError as error:
        said = dict.fromkeys(sentences(error, lambda loc: _known_keys(data, loc), prefix, roots))
        raise PairwrightError(f"{where}: {'; '.join(said)}") from None
    except PairwrightError as error:
        raise PairwrightError(f"{where}: {error}") from None
    for role, by_whom in recipe.role_needs().items():
        if role not in recipe.models:
            people = any("review" in wants for wants in by_whom.values())
            raise PairwrightError(
                f"{where}: the role {role!r}, which {' and '.join(by_whom)} asks, has no model: add "
                f"`{role}:{' {engine: people}' if people else ''}` under `models`" + near(role, list(recipe.models))
            )
    return recipe


def _rating(specs: Sequence[Mapping[str, Any]]) -> list[str]:
    """The names of the annotators that are combined where a recipe does not say."""
    rating = [a for a in specs if load(a["use"]).rates]
    asked = [a for a in rating if not load(a["use"]).for_a_filter]
    return [a.get("name") or a["use"] for a in asked or rating]


def _verifies(data: Mapping[str, Any]) -> bool:
    """Does an annotator or a filter of the recipe compare answers with references?"""
    lists = [found for key in ("annotators", "filters") if isinstance(found := data.get(key), list)]
    used = [a.get("use") if isinstance(a, Mapping) else a for found in lists for a in found]
    return "correctness" in used


def _with_system(models: dict[str, Any], sample: Any) -> dict[str, Any]:
    """Files of responses are told the system turn that the recipe adds, for they need not have it."""
    system = sample.get("system") if isinstance(sample, Mapping) else getattr(sample, "system", None)
    if system is None:
        return models
    given = {role: m for role, m in models.items() if isinstance(m, Mapping) and m.get("engine") == "given"}
    return models | {role: {"system": system, **model} for role, model in given.items()}


def _resolve_aliases(models: dict[str, Any]) -> dict[str, Any]:
    """A string is the name of another role or, failing that, of a model for the `transformers` engine."""
    plain: dict[str, Any] = {}
    for role, value in models.items():
        seen = [role]
        while isinstance(value, str) and value in models and value not in seen:
            seen.append(value)
            value = models[value]
        if isinstance(value, str) and value in models:
            raise PairwrightError(
                f"`models`: the roles {' -> '.join([*seen, value])} name each other in a circle: give one a model"
            )
        plain[role] = {"engine": "transformers", "model": value} if isinstance(value, str) else value
        if isinstance(value, Mapping) and "engine" not in value:
            plain[role] = {"engine": "transformers", **value}
    return plain


def _known_keys(data: Mapping[str, Any], loc: Sequence[str]) -> Known:
    """What the key at `loc` could have been meant to be: a setting of its part if that says what it is, else any."""
    section = Recipe.model_fields.get(loc[0])
    if section is None or len(loc) == 1:
        return Known(list(Recipe.model_fields))
    specs = data.get("annotators") if loc[0] == "annotators" else None
    uses = {a if isinstance(a, str) else a.get("use") for a in specs or [] if isinstance(a, str | Mapping)}
    roots = [*models_in(section.annotation), *(load(name).Config for name in available() if name in uses)]
    kind, value = _kind_at(data, loc[:-1])
    if loc[0] == "annotators" and len(loc) == 3 and value in available():
        return Known(sorted({*load(value).Config.model_fields, *AnnotatorSpec.model_fields}), value)
    for model in models_below(roots):
        if (field := model.model_fields.get(kind)) and value in get_args(field.annotation):
            return Known(sorted(model.model_fields), value)
    return Known(keys_of(roots))


def _kind_at(data: Any, loc: Sequence[str]) -> tuple[str, str]:
    """How the part at `loc` says what it is, as in ("use", "pairwise"); empty if it does not."""
    for step in loc:
        if isinstance(data, Mapping):
            data = data.get(step)
        elif isinstance(data, list) and step.isdigit() and int(step) < len(data):
            data = data[int(step)]
        else:
            return "", ""
    if isinstance(data, str):
        return "use", data
    found = data if isinstance(data, Mapping) else {}
    return next(((kind, found[kind]) for kind in ("use", "engine", "source") if isinstance(found.get(kind), str)), ("", ""))

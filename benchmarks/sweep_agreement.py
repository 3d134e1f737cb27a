"""Does the agreement of kept pairs with people rise as filters tighten? A sweep over pref_pandalm with real annotators.

Pairs of different replies, the first `--pairs` in an order drawn from their ids, become a dataset by the engine `given`; the
three labels of each are imported as three people's answers on a review sheet, whose majority is the annotator `person`. The
density ratio of `--strong` over `--weak` says which reply is chosen; `implicit_reward` of `--policy` over `--reference` and the
judge `pairwise` (the model `--judge`) are stored beside it. One sweep then tries filters over what is stored.

Many of the 999 pairs share an instruction. So that each is a group of its own, the second pair of an instruction gets a space at
the end of its prompt, the third two, and so on: nothing else is changed. The default reference, SmolLM2, is not the model that
the default policy was trained from, so its margin stands in for an implicit reward. Answers are journalled: a stopped run goes
on.

    python benchmarks/sweep_agreement.py --data ../shared/data/pref_pandalm --strong FOLDER --weak FOLDER [--pairs 240]
    python benchmarks/sweep_agreement.py --data ../shared/data/pref_pandalm --scripted    # how it runs, without a model
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

from pairwright.flows import screen
from pairwright.flows.sweeping import said
from pairwright.ids import digest
from pairwright.pipelines.build import Build
from pairwright.pipelines.recipe import parse_recipe
from pairwright.pipelines.recut import stored_of
from pairwright.pipelines.review.export import export
from pairwright.pipelines.review.take import take
from pairwright.pipelines.sweep import Row, points_of, sweep

PEOPLE = ("annotator1", "annotator2", "annotator3")
OUT = Path(__file__).parent / "out" / "sweep_agreement"
LIMITS: dict[str, dict[str, int]] = {"transformers": {}, "vllm": {"max_length": 4096}}
VOTERS = ["density_ratio", "implicit_reward", "pairwise"]
QUANTILES = (0.0, 0.25, 0.5, 0.75, 0.9)


def labelled(path: Path, count: int) -> list[dict[str, Any]]:
    """`count` rows with `prompt`, two different `responses` and three people's `choices`: 0 a tie, 1 or 2."""
    rows = []
    for r in json.loads((path / "testset-v1.json").read_text()):
        texts = [str(r["response1"]).strip(), str(r["response2"]).strip()]
        prompt = "\n\n".join(part for part in (str(r["instruction"] or ""), str(r["input"] or "")) if part.strip())
        if all(texts) and texts[0] != texts[1]:
            rows.append(
                {"id": digest("pandalm", r["idx"]), "prompt": prompt, "responses": texts, "choices": [r[p] for p in PEOPLE]}
            )
    rows = sorted(rows, key=lambda r: str(r["id"]))[:count]
    seen: Counter[str] = Counter()
    for row in rows:
        text = str(row["prompt"])
        row["prompt"] = text + " " * seen[text]
        seen[text] += 1
    return rows


def recipe(folder: Path, models: dict[str, Any]) -> dict[str, Any]:
    """The recipe of the dataset in `folder`."""
    file = str(folder / "rows.jsonl")
    return {
        "dataset": "pandalm",
        "root": str(folder),
        "prompts": {"source": "jsonl", "path": file},
        "models": {"policy": {"engine": "given", "path": file}, "people": {"engine": "people"}, **models},
        "sample": {"n": 2},
        "annotators": [
            {"use": "density_ratio", "terminator": False},
            {"use": "implicit_reward", "policy": "trained", "reference": "reference", "terminator": False},
            {"use": "pairwise"},
            {"use": "person", "role": "people", "people": len(PEOPLE), "guard": False},
        ],
        "combine": "density_ratio",
    }


def built(folder: Path, rows: list[dict[str, Any]], models: dict[str, Any]) -> Build:
    """Annotate the rows and take in what people said of them."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def build() -> Build:
        return Build(parse_recipe(recipe(folder, models), "the benchmark's recipe"), folder)

    first = build()
    progress = screen.BarProgress()
    with progress.shown():
        first.progress = progress
        first.run()
    sheet, answers = folder / "sheet.jsonl", folder / "answers.jsonl"
    if export(build(), sheet, "jsonl", force=True).questions:
        known = {row["prompt"]: row for row in rows}
        answers.write_text("".join(_answers(json.loads(line), known) for line in sheet.read_text().splitlines()))
        taken = take(build(), [answers])
        print(f"{taken.new:,} answers of people, {taken.completed:,} pairs answered by all three, {len(taken.refused)} refused")
    second = build()
    second.run()
    return second


def _answers(question: dict[str, Any], known: dict[str, dict[str, Any]]) -> str:
    """What the three people said, as filled-in rows of the sheet."""
    row = known[question["prompt"][-1]["content"]]
    shown = [question["response_1"], question["response_2"]]
    lines = []
    for who, choice in zip(PEOPLE, row["choices"], strict=True):
        said = str(shown.index(row["responses"][choice - 1]) + 1) if choice else "tie"
        lines.append(json.dumps(question | {"who": who, "choice": said}) + "\n")
    return "".join(lines)


def cuts() -> list[list[dict[str, Any]]]:
    """The lists of filters that are tried, each family from loose to tight."""
    families: list[dict[str, Any]] = [
        {"use": "margin"},
        {"use": "implicit_margin"},
        {"use": "strength", "annotators": VOTERS},
    ]
    tried = [[{**family, "min_quantile": q}] for family in families for q in QUANTILES if q]
    consensus = [{"use": "consensus", "annotators": VOTERS, "rule": rule} for rule in ("majority", "unanimous")]
    verdict = {"use": "verdict", "annotator": "pairwise"}
    tried += [[verdict], *([f] for f in consensus)]
    return [[], *tried, *([consensus[1], {"use": "margin", "min_quantile": q}] for q in QUANTILES[1:])]


def main() -> None:
    """Build, sweep, print, and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder pref_pandalm")
    parser.add_argument("--pairs", type=int, default=240)
    parser.add_argument("--strong", help="a model folder or GGUF file")
    parser.add_argument("--weak", help="a smaller model of the same family")
    parser.add_argument("--policy", help="of the implicit reward; default: --weak")
    parser.add_argument("--reference", default="smollm2", help="of the implicit reward")
    parser.add_argument("--judge", help="default: --strong")
    parser.add_argument("--engine", default="transformers", choices=sorted(LIMITS))
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--scripted", action="store_true", help="models made of hashes: nothing they say means anything")
    args = parser.parse_args()
    if not args.scripted and not (args.strong and args.weak):
        parser.error("give --strong and --weak, or --scripted")
    names = {"strong": args.strong, "weak": args.weak, "trained": args.policy or args.weak}
    names |= {"reference": args.reference, "judge": args.judge or args.strong}
    models: dict[str, Any] = {
        role: {"engine": "scripted", "seed": i}
        if args.scripted
        else {"engine": args.engine, "model": str(name), "dtype": args.dtype, **LIMITS[args.engine]}
        for i, (role, name) in enumerate(names.items())
    }
    rows = labelled(args.data, args.pairs)
    done = built(args.out / ("scripted" if args.scripted else args.engine), rows, models)
    version = done.dataset.latest()
    assert version is not None
    made, stored = stored_of(done.dataset, version)
    found = sweep(stored, made, points_of(made, [f"filters={json.dumps(cuts())}"]), against="person")
    screen.table(
        f"{len(rows)} pairs; agreement of kept pairs with the majority of three people, where it prefers one",
        ("filters", "kept", "n", "agreement", "95 %", "longer chosen", "note"),
        [(said(row.settings["filters"]), row.kept, row.n, row.agreement, _interval(row), row.longer, row.note) for row in found],
    )
    figures = [{**row.settings, **{k: v for k, v in vars(row).items() if k != "settings"}} for row in found]
    (args.out / f"figures-{'scripted' if args.scripted else args.engine}.json").write_text(json.dumps(figures, indent=1))


def _interval(row: Row) -> str:
    return "" if row.low is None or row.high is None else f"{row.low:.3f} to {row.high:.3f}"


if __name__ == "__main__":
    main()

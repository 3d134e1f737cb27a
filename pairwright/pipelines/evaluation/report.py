"""What an evaluation found: a table to paste, figures and protocol as JSON, and a row per item to recount them from."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pairwright import __version__
from pairwright.files import whole_file, write_text
from pairwright.pipelines.evaluation.labelled import Labelled
from pairwright.pipelines.evaluation.rows import BASELINE, Row
from pairwright.pipelines.evaluation.run import Evaluated
from pairwright.pipelines.evaluation.suites import of_rows
from pairwright.pipelines.quality.measures import consistency, measured

PROTOCOL = {
    "agreement": "mean credit over the items where people preferred something, with the 95 % Wilson interval",
    "ties": "a verdict of tie (of ratings: equal scores) is worth one half where people preferred one of two",
    "unanswered": "a verdict that cannot be read, or is missing for any reason, is worth 0 and stays in; its reason is counted",
    "gold_ties": "items that people called a tie count in three_way only: there the verdict must be tie",
    "undecided": "items that people did not agree on have no gold label: they count in rates and costs only",
    "best_of_n": "of more than two responses: the share of right ones among those with the highest score",
    "gain": f"agreement over {BASELINE!r} on the same items, with a 95 % normal interval of the paired difference",
    "coverage": "share of the items with a readable verdict: agreement and three_way count the others as wrong; calibration, "
    "order and length leave them out",
    "calibration": "brier, ece (10 bins closed on the right), ece_adaptive: of `probabilities` answers; auroc, aurc: of the "
    "confidence of `decisions` answers, or of the difference of the scores where there is no probability",
    "order": "swap_consistency: of `swapped` judgements that were asked with each response first and told so; first_position: of "
    "`shown` single ones",
    "length": "characters; among two responses that are not equally long, longer_wins of the `longer_n` that it decided",
    "cost": "tokens, seconds and money as if each request were alone; what the journal answered has its first cost",
}
COLUMNS: dict[str, tuple[str, str]] = {
    "n": ("n", "d"),
    "agreement": ("agreement [95 %]", "interval"),
    "gain": ("over longer wins", "gain"),
    "coverage": ("coverage", "percent"),
    "agreement_decided": ("when decided", "percent"),
    "three_way": ("three-way", "percent"),
    "swap_consistency": ("swap consistency", "percent"),
    "first_position": ("first wins", "percent"),
    "tie_rate": ("ties", "percent"),
    "longer_wins": ("picks longer (people)", "longer"),
    "brier": ("Brier", "number"),
    "ece": ("ECE", "number"),
    "auroc": ("AUROC", "number"),
    "aurc": ("AURC", "number"),
    "tokens_per_row": ("tokens/item", "d"),
    "seconds_per_row": ("s/item", "number"),
    "money_per_row": ("cost/item", "money"),
}
"""Figure -> heading and how it is written."""


def report(data: Labelled, evaluated: Evaluated, drawn: int) -> dict[str, Any]:
    """Everything but the rows. `drawn`: how many items were drawn from the data."""
    names = [BASELINE, *evaluated.about]
    rows = {name: evaluated.of(name) for name in names}
    figures = {name: measured(rows[name], rows[BASELINE]) | of_rows(rows[name]) for name in names}
    protocols = {name: "pairwise" if any(r["protocol"] == "pairwise" for r in rows[name]) else "pointwise" for name in names}
    golds = Counter(_gold_kind(row) for row in rows[BASELINE])
    return {
        "pairwright": __version__,
        "data": {"file": data.file, "format": data.format, "sha256": data.sha256, "rows": len(data.items), "drawn": drawn},
        "gold": dict(golds),
        "protocol": PROTOCOL,
        "annotators": {
            name: {"protocol": protocols[name], "orders": _orders(rows[name]), **evaluated.about.get(name, {})} for name in names
        },
        "figures": figures,
        "rating_and_ranking": _inconsistencies(rows, protocols),
    }


def markdown(found: Mapping[str, Any]) -> str:
    """Tables, one line an annotator, best agreement first after the baseline; columns that nobody has are left out. Then
    agreement by subset, ratings against rankings, suites, and why verdicts are missing, where there is any of it."""
    figures: Mapping[str, Mapping[str, Any]] = found["figures"]
    ranked = sorted(figures, key=lambda name: (name != BASELINE, -(figures[name]["agreement"] or 0.0), name))
    columns = [key for key in COLUMNS if key in ("n", "agreement") or any(figures[name].get(key) is not None for name in ranked)]
    rows = [
        [name, *("-" if (name, key) == (BASELINE, "gain") else _cell(figures[name], key) for key in columns)] for name in ranked
    ]
    parts = [_table(["annotator", *(COLUMNS[key][0] for key in columns)], rows), _about(found)]
    if subsets := sorted({s for f in figures.values() for s in f["subsets"]}):
        cells = [[name, *(_share(figures[name]["subsets"].get(s), "agreement") for s in subsets)] for name in ranked]
        parts.append(_table(["agreement (n)", *subsets], cells))
    if pairs := {(x["rating"], x["ranking"]): x for x in found["rating_and_ranking"]}:
        ratings, rankings = (list(dict.fromkeys(pair[i] for pair in pairs)) for i in (0, 1))
        cells = [[a, *(_share(pairs[a, b], "consistent") for b in rankings)] for a in ratings]
        parts.append(_table(["ratings that say the same (n)", *rankings], cells))
    parts += [f"{name}, {suite}: {json.dumps(f[suite])}" for name, f in figures.items() for suite in SUITES if suite in f]
    reasons = {name: f["reasons"] for name, f in figures.items() if f["reasons"]}
    parts += [f"{name}, no verdict: {', '.join(f'{r} {n}' for r, n in why.items())}" for name, why in reasons.items()]
    return "\n\n".join(parts) + "\n"


SUITES = ("rewardbench", "m_rewardbench", "rewardbench_2", "rm_bench")


def write(out: Path, found: Mapping[str, Any], rows: Sequence[Row]) -> None:
    """`report.json`, `report.md` and `items.jsonl` in `out`, each whole or not at all; the items first."""
    with whole_file(out / "items.jsonl") as temporary, temporary.open("w", encoding="utf-8") as handle:
        for row in rows:
            handle.write(json.dumps(row, ensure_ascii=False) + "\n")
    write_text(out / "report.json", json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    write_text(out / "report.md", markdown(found))


def _gold_kind(row: Row) -> str:
    return "undecided" if row["gold"] is None else "tie" if row["gold"] == "tie" else "preferred"


def _orders(rows: Sequence[Row]) -> str:
    known = [
        (row["p_ab"] is not None) + (row["p_ba"] is not None)
        for row in rows
        if row["p_ab"] is not None or row["p_ba"] is not None
    ]
    return "none told" if not known else "both" if min(known) == 2 else "one" if max(known) == 1 else "one or both"


def _inconsistencies(rows: Mapping[str, Sequence[Row]], protocols: Mapping[str, str]) -> list[dict[str, Any]]:
    ratings = [name for name, protocol in protocols.items() if protocol == "pointwise" and name != BASELINE]
    rankings = [name for name, protocol in protocols.items() if protocol == "pairwise"]
    return [{"rating": a, "ranking": b, **consistency(rows[a], rows[b])} for a in ratings for b in rankings]


def _about(found: Mapping[str, Any]) -> str:
    data, gold = found["data"], found["gold"]
    golds = ", ".join(f"{gold[kind]} {kind}" for kind in ("preferred", "tie", "undecided") if kind in gold)
    return (
        f"{data['drawn']} of {data['rows']} items of {data['file']} (sha256 {data['sha256'][:12]}; {golds}). "
        "Ties are worth one half, what cannot be read 0; intervals are 95 %. Swap consistency, "
        "Brier, ECE, AUROC and AURC are of what can be read (coverage)."
    )


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)


def _share(figures: Mapping[str, Any] | None, key: str) -> str:
    return f"{100 * figures[key]:.1f} % ({figures['n']})" if figures and figures["n"] else "-"


def _cell(figures: Mapping[str, Any], key: str) -> str:
    value, how = figures.get(key), COLUMNS[key][1]
    if value is None:
        return "-"
    if how == "interval":
        return f"{100 * value:.1f} [{100 * figures['low']:.1f}, {100 * figures['high']:.1f}]"
    if how == "gain":
        low, high = figures["gain_low"], figures["gain_high"]
        return f"{100 * value:+.1f}" + ("" if low is None else f" [{100 * low:+.1f}, {100 * high:+.1f}]")
    if how == "longer":
        return f"{100 * value:.1f} % ({100 * figures['longer_is_right']:.1f} %)"
    return {"d": f"{value:,.0f}", "percent": f"{100 * value:.1f} %", "number": f"{value:.3f}", "money": f"{value:.5f}"}[how]

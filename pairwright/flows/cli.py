"""The command line. Everything heavy is imported inside the command that needs it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pairwright import __version__
from pairwright.errors import PairwrightError
from pairwright.flows.calibrating import calibrate
from pairwright.flows.datasets import DatasetArg, Json, Root, dataset_at, latest_of
from pairwright.flows.diffing import diff
from pairwright.flows.evaluating import evaluate
from pairwright.flows.pruning import pin, prune
from pairwright.flows.pushing import push
from pairwright.flows.recutting import recut
from pairwright.flows.reporting import compare, report
from pairwright.flows.reviewing import app as review_app
from pairwright.flows.sweeping import sweep

if TYPE_CHECKING:
    from pairwright.pipelines.build import Build

app = typer.Typer(
    name="pairwright",
    help="Preference data you can audit: on-policy responses, labels, filters with reasons, versioned Parquet.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

FORMATS_HELP = (
    "trl_preference, trl_unpaired, trl_reward, llama_factory, axolotl, openrlhf, nemo_rl, ms_swift, jsonl, trl_stepwise, "
    "prm800k, ...; a wrong name lists them all"
)
RecipePath = Annotated[Path, typer.Argument(help="the recipe (YAML)", metavar="RECIPE")]
Overrides = Annotated[list[str] | None, typer.Argument(help="settings by dot-path, e.g. sample.n=8", metavar="[KEY=VALUE]...")]


def main() -> None:
    """Run a command; a user's mistake is one sentence on stderr and exit code 1."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: a busy neighbour else costs five times the time
    try:
        app()
    except PairwrightError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("stopped; what is finished is kept: run the same command again to go on", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(0)


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="print the version")] = False) -> None:
    if version:
        print(__version__)
        raise typer.Exit


@app.command()
def init(
    path: Annotated[Path, typer.Argument(help="where to write the recipe")] = Path("recipe.yaml"),
    force: Annotated[bool, typer.Option(help="overwrite a recipe that is there")] = False,
) -> None:
    """Write a recipe to start from."""
    from importlib.resources import files

    from pairwright.files import write_text

    if path.exists() and not force:
        raise PairwrightError(f"{path} is there already: choose another name, or say --force to overwrite it")
    write_text(path, (files("pairwright.flows") / "starter.yaml").read_text(encoding="utf-8"))
    print(f"wrote {path}. Next: pairwright check {path}; pairwright build {path}")


@app.command()
def check(
    recipe: Annotated[Path | None, typer.Argument(help="a recipe to check too", metavar="[RECIPE]")] = None,
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """Say what works on this machine and what to do about the rest."""
    from pairwright.flows import screen
    from pairwright.pipelines.checks import run_checks
    from pairwright.pipelines.recipe import load_recipe

    found = run_checks(load_recipe(recipe, overrides or []) if recipe else None)
    if as_json:
        _json([vars(c) if hasattr(c, "__dict__") else _fields(c) for c in found])
    else:
        rows = [(c.state, c.name, c.detail, c.fix or "") for c in found]
        screen.table("", ("state", "what", "found", "do"), rows)
    if any(c.state == "fail" for c in found):
        raise typer.Exit(1)


@app.command()
def estimate(recipe: RecipePath, overrides: Overrides = None, as_json: Json = False) -> None:
    """Tokens, time and memory of a build, before any model is loaded."""
    from pairwright.pipelines.estimate import estimate as estimated

    result = estimated(_build(recipe, overrides))
    if as_json:
        _json(_fields(result))
    else:
        _show_estimate(result)


@app.command()
def preview(
    recipe: RecipePath,
    overrides: Overrides = None,
    prompts: Annotated[int, typer.Option(help="how many prompts")] = 3,
    as_json: Json = False,
) -> None:
    """Build a few prompts and show their pairs; no version is made, and the work counts for the build that follows."""
    from pairwright.flows import screen
    from pairwright.pipelines.preview import preview as previewed

    build = _build(recipe, overrides)
    if build.recipe.steps is not None:
        from pairwright.flows.show import print_trees
        from pairwright.pipelines.preview import preview_steps

        with screen.BarProgress().shown() as build.progress:
            logs, made = preview_steps(build, prompts)
        if as_json:
            _json({"stepwise": made.stepwise.to_pylist(), "step_preference": made.pairs.to_pylist(), "set_aside": made.set_aside})
        else:
            print_trees(logs, {p.prompt_id: p for p in build.prompts.prompts}, made.set_aside)
        return
    with screen.BarProgress().shown() as build.progress:
        rows, dropped = previewed(build, prompts)
    if as_json:
        _json({"pairs": rows, "dropped": dropped})
        return
    for row in rows:
        screen.pair(row)
        if not row["keep"]:
            screen.out.print(f"dropped by {row['dropped_by']}: {row['reason']}", style="yellow", highlight=False)
    for prompt_id, reason in dropped.items():
        screen.out.print(f"prompt {prompt_id} gives no pair: {reason}", style="yellow", highlight=False)


@app.command()
def build(
    recipe: RecipePath,
    overrides: Overrides = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would run and what it would cost; do nothing")] = False,
    force: Annotated[bool, typer.Option("--force", help="make a version even if it would equal the latest")] = False,
    prefect: Annotated[bool | None, typer.Option(help="run as a Prefect flow; default: if a Prefect API is configured")] = None,
    as_json: Json = False,
) -> None:
    """Make a new version of the recipe's dataset. Run it again after a crash: it goes on where it stopped."""
    from pairwright.flows import screen

    made = _build(recipe, overrides)
    if dry_run:
        from pairwright.pipelines.estimate import estimate as estimated
        from pairwright.pipelines.explain import explain as explained

        _show_plan(explained(made))
        _show_estimate(estimated(made))
        return
    from pairwright.flows.prefect_env import api_configured

    if prefect if prefect is not None else api_configured() or made.recipe.run.runner != "threads":
        from pairwright.flows.prefect_flow import run_build

        result = run_build(recipe, list(overrides or []), force)
    else:
        with screen.BarProgress().shown() as made.progress:
            result = made.run(force)
    manifest = made.dataset.manifest(result.version)
    path = made.dataset.path(result.version)
    if as_json:
        _json({"version": result.version, "new": result.new, "path": str(path), "logical_hash": manifest.logical_hash})
        return
    if result.new:
        screen.built(manifest, path)
    else:
        print(f"nothing to do: {path} is already what this recipe comes to (--force makes a new version anyway)")


@app.command()
def explain(
    target: Annotated[str, typer.Argument(help="a recipe, or a dataset", metavar="RECIPE|DATASET")],
    overrides: Overrides = None,
    version: Annotated[int | None, typer.Option(help="a version of the dataset; default: the latest")] = None,
    root: Root = Path("data"),
    as_json: Json = False,
) -> None:
    """For a recipe: what would run again, and why. For a dataset: where each row went, stage by stage."""
    from pairwright.flows import screen

    if Path(target).suffix in (".yaml", ".yml"):
        from pairwright.pipelines.explain import explain as explained

        plans = explained(_build(Path(target), overrides))
        if as_json:
            _json([_fields(p) for p in plans])
        else:
            _show_plan(plans)
        return
    dataset = dataset_at(target, root)
    n = latest_of(dataset) if version is None else version
    manifest = dataset.manifest(n)
    if as_json:
        _json([a.model_dump() for a in manifest.accounting])
    else:
        screen.funnel(f"{dataset.name} version {n}, made {manifest.created}", manifest.accounting)


@app.command()
def query(
    dataset: DatasetArg,
    sql: Annotated[
        str | None,
        typer.Argument(help="SQL over preference, pairs, responses, annotations, ... (T_all, T_at(v)); without it: a prompt"),
    ] = None,
    version: Annotated[int | None, typer.Option(help="what the plain names mean; default: the latest")] = None,
    root: Root = Path("data"),
    as_json: Json = False,
) -> None:
    """Ask a dataset in SQL (DuckDB), once or line by line."""
    from pairwright.flows.asking import answer, converse
    from pairwright.storage.catalog import connect

    with connect(dataset_at(dataset, root), version) as con:
        if sql is None:
            converse(con)
        else:
            answer(con, sql, as_json)


@app.command()
def versions(
    dataset: DatasetArg,
    root: Root = Path("data"),
    verify: Annotated[bool, typer.Option("--verify", help="read every file again and compare it with the manifest")] = False,
    as_json: Json = False,
) -> None:
    """List the versions of a dataset; a version that differs from its manifest is named."""
    from pairwright.flows import screen

    found = dataset_at(dataset, root)
    manifests = {n: found.manifest(n) for n in found.versions()}
    problems = {n: found.verify(n, deep=verify) for n in manifests}
    tables = [
        t
        for t in ("prompts", "responses", "pairs", "preference", "steps", "stepwise", "step_preference")
        if any(t in m.tables() for m in manifests.values())
    ]
    columns = ("version", "created", *tables, "logical hash", "state")
    rows = [
        (n, m.created if as_json else m.created[:16], *(m.rows(t) for t in tables), m.logical_hash[:12],
         "differs from its manifest" if problems[n] else "verified" if verify else "ok")
        for n, m in manifests.items()
    ]  # fmt: skip
    if as_json:
        _json([dict(zip(columns, row, strict=True)) | {"problems": problems[int(row[0])]} for row in rows])
    else:
        screen.table(f"{found.folder}", columns, rows)
        for n, sentences in problems.items():
            for sentence in sentences:
                print(f"version {n}: {sentence}; restore it, or delete the folder {found.path(n)}", file=sys.stderr)
    if any(problems.values()):
        raise typer.Exit(1)


@app.command()
def show(
    dataset: DatasetArg,
    prompt: Annotated[str | None, typer.Argument(help="a prompt id, or its beginning; default: the first")] = None,
    version: Annotated[int | None, typer.Option(help="default: the latest")] = None,
    root: Root = Path("data"),
    as_json: Json = False,
) -> None:
    """Show one prompt with its responses, their scores and its pairs, and its search tree if there is one."""
    from pairwright.flows.show import one_prompt, print_prompt

    found = one_prompt(dataset_at(dataset, root), prompt, version)
    if as_json:
        _json(found)
    else:
        print_prompt(found)


@app.command()
def export(
    dataset: DatasetArg,
    format: Annotated[str, typer.Argument(help=FORMATS_HELP)],
    path: Annotated[Path, typer.Argument(help="the file to write: .parquet, else JSON lines")],
    version: Annotated[int | None, typer.Option(help="default: the latest")] = None,
    root: Root = Path("data"),
    split: Annotated[str, typer.Option(help="train, test, or all")] = "train",
    force: Annotated[bool, typer.Option("--force", help="overwrite a file that is there")] = False,
    neutral_below: Annotated[
        float | None, typer.Option(help="prm800k: rate a right step with a smaller share of right rollouts 0")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write pairs, labelled responses or step labels in another project's format; a row that it cannot carry is counted with
    its reason."""
    from pairwright.pipelines.exporting import export as exported

    report = exported(dataset_at(dataset, root), version, format, path, force=force, neutral_below=neutral_below, split=split)
    if as_json:
        _json(_fields(report))
        return
    print(f"{report.rows:,} of {report.rows_in:,} {report.unit}s in {path}")
    for reason, n in report.dropped.items():
        print(f"  {n:,} left out: {reason} (the first: {report.examples[reason]})")
    for note in report.notes():
        print(f"  {note}")


@app.command()
def replay(recipe: RecipePath, overrides: Overrides = None, as_json: Json = False) -> None:
    """Grow every stored search tree again from the journal alone and compare: no model is asked, nothing is written."""
    from pairwright.flows import screen
    from pairwright.pipelines.steps.replay import replay as replayed

    build = _build(recipe, overrides)
    with screen.BarProgress().shown() as build.progress:
        found = replayed(build)
    if as_json:
        _json(_fields(found))
    else:
        print(f"{found.equal:,} of {found.trees:,} trees came out equal, from {found.answers:,} answers of the journal")
        if found.skipped:
            print(
                f"{found.skipped:,} more were skipped: a request failed when they were grown, and the journal keeps no failures"
            )
        for line in found.differences[:10]:
            print(f"  {line}")
    if found.differences:
        raise typer.Exit(1)


@app.command()
def serve(
    recipe: RecipePath,
    overrides: Overrides = None,
    cron: Annotated[str, typer.Option(help='when to build, e.g. "0 2 * * *"')] = "0 2 * * *",
    name: Annotated[str | None, typer.Option(help="the deployment's name; default: the dataset's")] = None,
    on_failure: Annotated[str | None, typer.Option(help="where to POST when a build fails; default: $PAIRWRIGHT_WEBHOOK")] = None,
    on_success: Annotated[
        str | None, typer.Option(help="where to POST when one succeeds; default: $PAIRWRIGHT_WEBHOOK_SUCCESS")
    ] = None,
) -> None:
    """Build on a schedule with Prefect, until stopped. Each run makes a version if there is anything new."""
    _build(recipe, overrides).check()
    from pairwright.flows.prefect_flow import serve as served

    served(recipe, cron, list(overrides or []), name, on_failure, on_success)


@app.command()
def schema() -> None:
    """Print the recipe's JSON Schema, for editors."""
    from pairwright.pipelines.recipe import Recipe

    _json(Recipe.model_json_schema())


@app.command()
def annotators(as_json: Json = False) -> None:
    """List the annotators that are installed and the package each comes from."""
    from pairwright.annotators.registry import available
    from pairwright.flows import screen

    if as_json:
        _json(available())
    else:
        screen.table("", ("annotator", "package"), list(available().items()))


for command in (recut, sweep, diff, compare, report, evaluate, calibrate, push, prune, pin):
    app.command()(command)
app.add_typer(review_app, name="review")


def _build(recipe: Path, overrides: list[str] | None) -> Build:
    from pairwright.pipelines.build import Build
    from pairwright.pipelines.recipe import load_recipe

    return Build(load_recipe(recipe, overrides or []), recipe.resolve().parent)


def _fields(value: Any) -> Any:
    import dataclasses

    return dataclasses.asdict(value) if dataclasses.is_dataclass(value) and not isinstance(value, type) else value


def _json(value: Any) -> None:
    print(json.dumps(value, indent=2, default=str))


def _show_plan(plans: Any) -> None:
    from pairwright.flows import screen

    screen.table(
        "plan", ("stage", "total", "done", "to do", "why"), [(p.stage, p.total, p.done, p.missing, p.why) for p in plans]
    )


def _show_estimate(found: Any) -> None:
    from pairwright.flows import screen

    columns, rows = found.rows()
    screen.table("\nestimate of what is left to do", columns, rows)
    for line in found.lines():
        print(line)


if __name__ == "__main__":
    main()

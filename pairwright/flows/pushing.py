"""The command `push`: a version to the Hugging Face hub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pairwright.flows.datasets import DatasetArg, Json, Root, dataset_at

if TYPE_CHECKING:
    from pairwright.pipelines.pushing import Parcel

Repo = Annotated[str, typer.Argument(help="the hub's repository: NAME or OWNER/NAME", metavar="REPO")]
Version = Annotated[int | None, typer.Option(help="default: the latest")]
Private = Annotated[bool, typer.Option("--private", help="make the repository private; refuse one that is public")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="say what would be sent; ask nothing of the hub")]
Revision = Annotated[str, typer.Option(help="the branch to commit to")]
Force = Annotated[bool, typer.Option("--force", help="let it take the place of a later version on the branch")]
License = Annotated[str | None, typer.Option(help="the data's licence for the card, e.g. cc-by-4.0; default: what the card says")]


def push(
    dataset: DatasetArg,
    repo: Repo,
    version: Version = None,
    root: Root = Path("data"),
    private: Private = False,
    dry_run: DryRun = False,
    revision: Revision = "main",
    license: License = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Send one version to the Hugging Face hub, with its card and a tag. A version that is there is not sent again."""
    from pairwright.pipelines import pushing

    parcel = pushing.pack(dataset_at(dataset, root), version, repo, license)
    what = {"version": parcel.version, "files": len(parcel.files) + 1, "bytes": parcel.bytes, "message": parcel.message}
    if dry_run:
        print(json.dumps({"repo": repo, **what}, indent=2) if as_json else _planned(parcel, revision))
        return
    sent = pushing.push(parcel, private, revision, force)
    if as_json:
        print(json.dumps({"repo": sent.repo, "url": sent.url, "new": sent.new, "removed": sent.removed, **what}, indent=2))
    elif sent.new:
        print(f"sent {what['files']} files, {parcel.bytes:,} bytes: {sent.url}")
        for name in sent.removed:
            print(f"  removed {name} of the version before")
    else:
        print(f"nothing to do: {sent.url} is this version already")


def _planned(parcel: Parcel, revision: str) -> str:
    names = "\n".join(f"  {name} ({path.stat().st_size:,} bytes)" for name, path in parcel.files.items())
    return f"would send to {parcel.repo}, branch {revision}, tag {parcel.tag}:\n{names}\n  README.md\n{parcel.message}"

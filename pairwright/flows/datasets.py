"""How commands name a dataset and a version of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pairwright.errors import PairwrightError

if TYPE_CHECKING:
    from pairwright.storage.versions import Dataset

DatasetArg = Annotated[str, typer.Argument(help="a dataset's folder, or its name below --root", metavar="DATASET")]
Root = Annotated[Path, typer.Option(help="where datasets are kept")]
Json = Annotated[bool, typer.Option("--json", help="print JSON for a program to read")]


def dataset_at(text: str, root: Path) -> Dataset:
    """The dataset in the folder `text`, or of that name below `root`."""
    from pairwright.storage.versions import Dataset

    folder = Path(text)
    is_folder = len(folder.parts) > 1 or (folder.is_dir() and folder.name)
    found = Dataset(folder.parent, folder.name) if is_folder else Dataset(root, text)
    if not found.folder.is_dir():
        raise PairwrightError(f"there is no dataset at {found.folder}: give its folder, or its name and --root")
    return found


def latest_of(dataset: Dataset) -> int:
    """The number of its latest version."""
    latest = dataset.latest()
    if latest is None:
        raise PairwrightError(f"{dataset.folder} has no version yet: build one first")
    return latest

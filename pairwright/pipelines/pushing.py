"""One version of a dataset to a repository of the Hugging Face hub: its tables, manifest and card, as one commit and a tag.

What is pushed is what the manifest lists, so a version that differs from it is not pushed, and a file that somebody left in its
folder is not either. Files of the version pushed before that the new one has not are removed by the same commit: `datasets` would
mix them. The tag `v<n>` comes last; it says that the version is there, whole. The token is huggingface_hub's affair: it takes it
from the environment or from its own store.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pairwright import __version__
from pairwright.errors import PairwrightError
from pairwright.storage.manifest import MANIFEST

if TYPE_CHECKING:
    from huggingface_hub import HfApi

    from pairwright.storage.versions import Dataset

MAIN = "main"
DATASET = "dataset"  # what kind of repository it is
VERSION = re.compile(r"v[1-9]\d{0,8}")  # a tag
SHARD = re.compile(r"[a-z_]+/[a-z]+-\d{5}-of-\d{5}\.parquet")


@dataclass(frozen=True)
class Parcel:
    """What a push sends: `files` by their path in the repository, and the card as the version's folder has it."""

    repo: str
    version: int
    message: str
    files: dict[str, Path]
    card: str
    license: str | None
    bytes: int

    @property
    def tag(self) -> str:
        """What the version is called on the hub."""
        return f"v{self.version}"


@dataclass(frozen=True)
class Pushed:
    """Where the version is now. new: was it sent just now, or was it there? removed: tables of the version before."""

    repo: str
    url: str
    new: bool
    removed: tuple[str, ...] = ()


def pack(dataset: Dataset, version: int | None, repo: str, license: str | None = None) -> Parcel:
    """What a push of version `version` (by default the latest) to `repo` would send. Nothing is sent.

    `license`: for the card's field, instead of the one that the version's README.md names. Raises PairwrightError if there is no
    such version or its files are not those of its manifest.
    """
    from pairwright.storage.card import version_card
    from pairwright.storage.versions import README

    version = dataset.latest() if version is None else version
    if version is None:
        raise PairwrightError(f"dataset {dataset.name} in {dataset.folder.parent} has no version yet: build one first")
    if license is not None and not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", license):
        raise PairwrightError(
            f"{license!r} is no licence the hub knows: use an identifier such as cc-by-4.0, apache-2.0 or other"
        )
    folder, manifest = dataset.path(version), dataset.manifest(version)
    for problem in dataset.verify(version, deep=True):
        if not problem.endswith("is not in the manifest"):
            raise PairwrightError(f"version {version} of {dataset.name} is not pushed, for {problem}: restore it in {folder}")
    card = folder / README
    text = card.read_text(encoding="utf-8") if card.is_file() else version_card(manifest)
    files = {name: folder / name for name in (*(entry.path for entry in manifest.files), MANIFEST)}
    return Parcel(
        repo=repo,
        version=version,
        message=f"{dataset.name} version {version}, logical hash {manifest.logical_hash}",
        files=files,
        card=text,
        license=license,
        bytes=sum(path.stat().st_size for path in files.values()) + len(text.encode()),
    )


def push(parcel: Parcel, private: bool = False, revision: str = MAIN, force: bool = False) -> Pushed:
    """Send a parcel, unless it is there. The repository and the branch `revision` are made where they are not.

    Raises PairwrightError with one sentence where the hub cannot be reached, does not know the token or refuses, where a tag of
    the version's name is there with other content or another licence than was asked for, and where the branch holds a later
    version, unless by `force`.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_token

    from pairwright.storage.card import hub_card
    from pairwright.storage.versions import README

    endpoint = os.environ.get("HF_ENDPOINT")  # read now, for huggingface_hub reads it when it is imported
    api = HfApi(endpoint=endpoint or None, library_name="pairwright", library_version=__version__)
    with _one_sentence(parcel.repo, api.endpoint):
        if get_token() is None:
            raise PairwrightError("there is no token for the hub: run `hf auth login`, or set HF_TOKEN")
        repo = parcel.repo
        if "/" not in repo or not api.repo_exists(repo, repo_type=DATASET):
            repo = api.create_repo(repo, repo_type=DATASET, private=private or None, exist_ok=True).repo_id
        url = f"{api.endpoint}/datasets/{repo}/tree/{parcel.tag}"
        if private and not api.repo_info(repo, repo_type=DATASET).private:
            raise PairwrightError(f"{repo} is there already and public: make it private on the hub, or push to another name")
        refs = api.list_repo_refs(repo, repo_type=DATASET)
        card = hub_card(parcel.card, parcel.version, repo, parcel.license)
        tags = [tag.name for tag in refs.tags]
        if parcel.tag in tags:
            _refuse_other(api, repo, parcel, card)
            return Pushed(repo, url, new=False)
        if revision not in (MAIN, *(branch.name for branch in refs.branches)):
            api.create_branch(repo, repo_type=DATASET, branch=revision, exist_ok=True)
        elif not force:
            _refuse_older(api, repo, parcel, revision, tags)
        there = api.list_repo_files(repo, repo_type=DATASET, revision=revision)
        removed = tuple(name for name in there if SHARD.fullmatch(name) and name not in parcel.files)
        commit = api.create_commit(
            repo,
            [
                CommitOperationAdd(README, card.encode()),
                *(CommitOperationAdd(name, str(path)) for name, path in parcel.files.items()),
                *(CommitOperationDelete(name) for name in removed),
            ],
            commit_message=parcel.message,
            repo_type=DATASET,
            revision=revision,
        )
        api.create_tag(repo, tag=parcel.tag, tag_message=parcel.message, revision=commit.oid, repo_type=DATASET)
    return Pushed(repo, url, new=True, removed=removed)


def _refuse_other(api: HfApi, repo: str, parcel: Parcel, card: str) -> None:
    """Raise PairwrightError unless the tag holds the parcel's manifest and, where a licence is asked for, this card."""
    from pairwright.storage.versions import README

    if _blob(api, repo, MANIFEST, parcel.tag) != _git_blob(parcel.files[MANIFEST].read_bytes()):
        raise PairwrightError(
            f"{repo} has a tag {parcel.tag} with other content: push to another repository, or delete the tag if it is stale"
        )
    if parcel.license is not None and _blob(api, repo, README, parcel.tag) != _git_blob(card.encode()):
        raise PairwrightError(
            f"{repo} holds {parcel.tag} already, with a card that was not made for the licence {parcel.license}: change "
            "`license` in its README.md on the hub, or leave the licence out"
        )


def _refuse_older(api: HfApi, repo: str, parcel: Parcel, revision: str, tags: Iterable[str]) -> None:
    """Raise PairwrightError if the branch holds a later version, whose place this one would take."""
    held = _blob(api, repo, MANIFEST, revision)
    later = sorted(int(tag[1:]) for tag in tags if VERSION.fullmatch(tag) and int(tag[1:]) > parcel.version)
    for version in later if held is not None else ():
        if _blob(api, repo, MANIFEST, f"v{version}") == held:
            raise PairwrightError(
                f"the branch {revision} of {repo} holds version {version}, and version {parcel.version} would take its place: "
                "push to another branch (--revision), or say --force"
            )


def _blob(api: HfApi, repo: str, path: str, revision: str) -> str | None:
    """What git calls the content of a file at a revision; None if it is not there. No file is fetched."""
    found = api.get_paths_info(repo, [path], revision=revision, repo_type=DATASET)
    return next((getattr(file, "blob_id", None) for file in found), None)


def _git_blob(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


@contextlib.contextmanager
def _one_sentence(repo: str, endpoint: str) -> Iterator[None]:
    """Turn what huggingface_hub raises into one sentence with the fix; answers are not quoted, for they may quote the request."""
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, HTTPError, OfflineModeIsEnabled

    try:
        yield
    except PairwrightError:
        raise
    except HFValidationError:
        raise PairwrightError(
            f"{repo!r} is no name of a repository: write NAME or OWNER/NAME, with letters, digits, '-', '_' and '.'"
        ) from None
    except OfflineModeIsEnabled:
        raise PairwrightError("HF_HUB_OFFLINE is set, so nothing can be pushed: unset it") from None
    except (HTTPError, OSError, RuntimeError) as error:  # an upload's error is the cause of a RuntimeError
        cause = error.__cause__ if isinstance(error, RuntimeError) and error.__cause__ is not None else error
        status = cause.response.status_code if isinstance(cause, HfHubHTTPError) else None
        raise PairwrightError(_said(status, repo, endpoint)) from error
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise PairwrightError(f"the hub does not take the card or the files ({reason}): mend the version's README.md") from error


def _said(status: int | None, repo: str, endpoint: str) -> str:
    if status is None:
        return f"{endpoint} cannot be reached, or broke off: look at the network and run the same command again"
    if status == 401:
        return f"{endpoint} does not know your token: run `hf auth login`, or set HF_TOKEN to one that is valid"
    if status == 403:
        return f"your token may not write to {repo}: give it write access, or push to a repository of your own"
    if status == 404:
        return f"{repo} or its branch is not there for your token: check the name, and that the token may read and write it"
    if status in (409, 412):
        return f"somebody else changed {repo} meanwhile: run the same command again"
    if status == 429:
        return f"{endpoint} takes no more requests for now: run the same command again in some minutes"
    return f"{endpoint} answered with error {status}: run the same command again later; what has arrived is not sent twice"

"""A version is on the hub whole, tagged and once; what the hub says no to is one sentence, and no token is ever in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pairwright.errors import PairwrightError
from pairwright.pipelines.pushing import Pushed, pack, push
from pairwright.storage.manifest import MANIFEST
from pairwright.storage.versions import Dataset
from tests.pipelines.fake_hub import READER, WRITER, Hub, Repository, running
from tests.storage.sample_tables import commit, pair_row


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """A hub on this machine, asked in its own protocol for large files, with a token that may write."""
    import huggingface_hub
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", WRITER)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    huggingface_hub.close_session()
    with running() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub
    huggingface_hub.close_session()


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    made = Dataset(tmp_path, "prefs")
    commit(made, n=4)
    return made


def send(dataset: Dataset, version: int | None = None, repo: str = "me/prefs", **more: Any) -> Pushed:
    return push(pack(dataset, version, repo), **more)


def contents(dataset: Dataset, n: int) -> dict[str, bytes]:
    """A version's tables and manifest as they are on disk."""
    names = [*(entry.path for entry in dataset.manifest(n).files), MANIFEST]
    return {name: (dataset.path(n) / name).read_bytes() for name in names}


def test_a_version_is_sent_whole_in_one_commit_that_names_it_and_has_a_tag(dataset: Dataset, hub: Hub) -> None:
    sent = send(dataset)
    repo = hub.repos["me/prefs"]
    there = repo.at("v1")
    card = there.files.pop("README.md").decode()
    assert there.files == {".gitattributes": b"", **contents(dataset, 1)}
    assert there.title == f"prefs version 1, logical hash {dataset.manifest(1).logical_hash}"
    assert len(repo.commits) == 2 and repo.branches["main"] == repo.tags["v1"] and repo.private is False
    assert 'load_dataset("me/prefs", revision="v1", name="preference"' in card and "path/to/version" not in card
    assert sent == Pushed("me/prefs", f"{hub.url}/datasets/me/prefs/tree/v1", new=True)


def test_a_version_that_is_there_is_not_sent_again(dataset: Dataset, hub: Hub) -> None:
    send(dataset)
    hub.asked.clear()
    again = send(dataset)
    assert not again.new and len(hub.repos["me/prefs"].commits) == 2
    assert not [line for line in hub.asked if "commit" in line or "preupload" in line or "large" in line]


def test_a_push_that_broke_off_before_its_tag_is_finished_by_the_next(dataset: Dataset, hub: Hub) -> None:
    hub.broken["/tag/"] = 500
    with pytest.raises(PairwrightError, match="answered with error 500: run the same command again later"):
        send(dataset)
    hub.broken.clear()
    assert send(dataset).new
    repo = hub.repos["me/prefs"]
    assert len(repo.commits) == 2, "nothing was sent twice"
    assert repo.at("v1").files.keys() == {".gitattributes", "README.md", *contents(dataset, 1)}


def test_a_later_version_takes_the_place_of_the_one_before_which_keeps_its_tag(dataset: Dataset, hub: Hub) -> None:
    commit(dataset, n=6, pairs=[pair_row(i) for i in range(3)])
    with dataset.stage() as staging:
        for table in ("prompts", "preference"):
            for path in dataset.tables(2)[table] * 2:
                staging.link(table, path)
        staging.commit(dataset.manifest(2))
    for n in (1, 3):
        sent = send(dataset, n)
    files = hub.repos["me/prefs"].at("main").files
    assert {name for name in files if "/" in name} == {entry.path for entry in dataset.manifest(3).files}
    assert sent.removed and {*sent.removed} == contents(dataset, 1).keys() - contents(dataset, 3).keys()
    assert hub.repos["me/prefs"].at("v1").files.keys() >= contents(dataset, 1).keys()


def test_an_earlier_version_takes_the_place_of_a_later_one_only_by_force(dataset: Dataset, hub: Hub) -> None:
    commit(dataset, n=7)
    send(dataset, 2)
    with pytest.raises(PairwrightError, match="the branch main of me/prefs holds version 2, and version 1 would take its place"):
        send(dataset, 1)
    repo = hub.repos["me/prefs"]
    assert repo.branches["main"] == repo.tags["v2"] and send(dataset, 1, revision="old").new
    assert repo.branches["main"] == repo.tags["v2"] and repo.branches["old"] == repo.tags["v1"]
    commit(dataset, n=5)
    assert send(dataset, 3, revision="old").new, "a version that is on another branch is in nobody's way"
    commit(dataset, n=8)
    send(dataset, 4)
    del repo.tags["v1"]
    assert send(dataset, 1, force=True).new and repo.branches["main"] == repo.tags["v1"]


def test_a_licence_for_a_version_that_is_there_without_it_is_refused(dataset: Dataset, hub: Hub) -> None:
    send(dataset)
    with pytest.raises(
        PairwrightError, match="me/prefs holds v1 already, with a card that was not made for the licence cc-by-4.0"
    ):
        push(pack(dataset, 1, "me/prefs", license="cc-by-4.0"))
    for _ in range(2):
        push(pack(dataset, 1, "me/other", license="cc-by-4.0"))
    assert len(hub.repos["me/other"].commits) == 2


def test_files_of_others_in_the_repository_stay(dataset: Dataset, hub: Hub) -> None:
    send(dataset)
    repo = hub.repos["me/prefs"]
    repo.at("main").files.update({"images/plot.png": b"p", "extra/data.parquet": b"d"})
    commit(dataset, n=6)
    send(dataset)
    assert repo.at("v2").files["images/plot.png"] == b"p" and repo.at("v2").files["extra/data.parquet"] == b"d"


def test_a_tag_of_another_dataset_is_not_moved(dataset: Dataset, hub: Hub, tmp_path: Path) -> None:
    send(dataset)
    other = Dataset(tmp_path / "other", "prefs")
    commit(other, n=5)
    with pytest.raises(PairwrightError, match="me/prefs has a tag v1 with other content: push to another repository"):
        send(other)
    assert len(hub.repos["me/prefs"].commits) == 2


def test_a_name_alone_is_a_repository_of_the_tokens_owner(dataset: Dataset, hub: Hub) -> None:
    assert send(dataset, repo="prefs").repo == send(dataset, repo="prefs").repo == "me/prefs"
    assert b'load_dataset("me/prefs"' in hub.repos["me/prefs"].at("v1").files["README.md"]


def test_a_branch_is_made_where_it_is_asked_for(dataset: Dataset, hub: Hub) -> None:
    send(dataset, revision="trial")
    repo = hub.repos["me/prefs"]
    assert repo.branches["main"] == "0" * 40 and repo.branches["trial"] == repo.tags["v1"] != "0" * 40
    commit(dataset, n=6)
    send(dataset, revision="trial")
    assert repo.branches["trial"] == repo.tags["v2"]


def test_what_is_to_be_private_never_goes_to_a_public_repository(dataset: Dataset, hub: Hub) -> None:
    send(dataset, private=True)
    assert hub.repos["me/prefs"].private
    hub.repos["me/open"] = Repository(private=False)
    with pytest.raises(PairwrightError, match="me/open is there already and public"):
        send(dataset, repo="me/open", private=True)
    assert len(hub.repos["me/open"].commits) == 1


def test_the_card_is_the_one_in_the_versions_folder_with_the_licence_that_was_said(dataset: Dataset, hub: Hub) -> None:
    readme = dataset.path(1) / "README.md"
    readme.write_text(readme.read_text() + "\nA word of mine.\n")
    push(pack(dataset, 1, "me/prefs", license="cc-by-4.0"))
    card = hub.repos["me/prefs"].at("v1").files["README.md"].decode()
    assert card.endswith("A word of mine.\n") and "\nlicense: cc-by-4.0\n" in card


def test_a_file_that_is_not_of_the_version_is_not_sent_and_a_changed_one_stops_the_push(dataset: Dataset, hub: Hub) -> None:
    (dataset.path(1) / "notes.txt").write_text("mine")
    parcel = pack(dataset, 1, "me/prefs")
    assert "notes.txt" not in parcel.files
    (path,) = dataset.tables(1)["pairs"]
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(PairwrightError, match="version 1 of prefs is not pushed, for pairs/train.* has other content"):
        pack(dataset, 1, "me/prefs")
    path.unlink()
    with pytest.raises(PairwrightError, match="is not pushed, for pairs/train-00000-of-00001.parquet is missing"):
        pack(dataset, 1, "me/prefs")
    assert hub.asked == []


class TestRefusals:
    """Each is one sentence with what to do, and quotes no token."""

    def refused(self, dataset: Dataset, **more: Any) -> str:
        with pytest.raises(PairwrightError) as error:
            send(dataset, **more)
        said = str(error.value)
        assert "\n" not in said and WRITER not in said and READER not in said and "hf_wrong" not in said
        return said

    def test_no_token(self, dataset: Dataset, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("HF_TOKEN")
        assert self.refused(dataset) == "there is no token for the hub: run `hf auth login`, or set HF_TOKEN"
        assert hub.asked == []

    def test_a_token_the_hub_does_not_know(self, dataset: Dataset, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HF_TOKEN", "hf_wrong")
        assert self.refused(dataset).startswith(f"{hub.url} does not know your token: run `hf auth login`")

    def test_a_token_that_may_not_write(self, dataset: Dataset, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HF_TOKEN", READER)
        assert self.refused(dataset).startswith("your token may not write to me/prefs: give it write access")
        hub.repos["me/prefs"] = Repository(private=False)
        assert self.refused(dataset).startswith("your token may not write to me/prefs")
        assert len(hub.repos["me/prefs"].commits) == 1

    @pytest.mark.parametrize(
        "where, status, said",
        [
            ("/refs", 404, "me/prefs or its branch is not there for your token"),
            ("/commit/", 412, "somebody else changed me/prefs meanwhile: run the same command again"),
            ("/repos/create", 503, "answered with error 503: run the same command again later"),
            ("/refs", 429, "takes no more requests for now"),
            ("/large/", 403, "your token may not write to me/prefs"),
        ],
    )
    def test_an_answer_that_is_a_no(self, dataset: Dataset, hub: Hub, where: str, status: int, said: str) -> None:
        hub.broken[where] = status
        assert said in self.refused(dataset)
        assert not hub.repos or not hub.repos["me/prefs"].tags

    def test_no_network(self, dataset: Dataset, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
        assert self.refused(dataset).startswith("http://127.0.0.1:9 cannot be reached, or broke off: look at the network")

    def test_a_hub_that_is_switched_off(self, dataset: Dataset, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
        from huggingface_hub import constants

        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        assert self.refused(dataset) == "HF_HUB_OFFLINE is set, so nothing can be pushed: unset it"

    @pytest.mark.parametrize("repo", ["a/b/c", "me/..", "me/pre fs"])
    def test_a_name_that_is_none(self, dataset: Dataset, hub: Hub, repo: str) -> None:
        assert self.refused(dataset, repo=repo).startswith(f"{repo!r} is no name of a repository: write NAME or OWNER/NAME")

    def test_a_licence_that_is_none(self, dataset: Dataset, hub: Hub) -> None:
        with pytest.raises(PairwrightError, match="'My own!' is no licence the hub knows"):
            pack(dataset, 1, "me/prefs", license="My own!")
        with pytest.raises(PairwrightError, match="the hub does not take the card.*license is wrong"):
            push(pack(dataset, 1, "me/prefs", license="no-such"))

    def test_a_version_that_is_not_there(self, dataset: Dataset, tmp_path: Path) -> None:
        with pytest.raises(PairwrightError, match="has no version 7"):
            pack(dataset, 7, "me/prefs")
        with pytest.raises(PairwrightError, match="has no version yet: build one first"):
            pack(Dataset(tmp_path, "none"), None, "me/prefs")


class TestCommand:
    """`pairwright push`."""

    def run(self, *words: str) -> Any:
        import typer
        from typer.testing import CliRunner

        from pairwright.flows.pushing import push as command

        app = typer.Typer()
        app.command()(command)
        return CliRunner().invoke(app, list(words))

    def test_a_dry_run_says_what_would_be_sent_and_asks_nothing(self, dataset: Dataset, hub: Hub) -> None:
        said = self.run(str(dataset.folder), "me/prefs", "--dry-run").output
        assert "would send to me/prefs, branch main, tag v1:" in said and "preference/train-00000-of-00001.parquet" in said
        assert hub.asked == []

    def test_it_says_where_the_version_is(self, dataset: Dataset, hub: Hub) -> None:
        assert f"bytes: {hub.url}/datasets/me/prefs/tree/v1" in self.run(str(dataset.folder), "me/prefs").output
        assert "nothing to do: " in self.run("prefs", "me/prefs", "--root", str(dataset.folder.parent)).output

    def test_json_is_for_programs(self, dataset: Dataset, hub: Hub) -> None:
        found = json.loads(self.run(str(dataset.folder), "me/prefs", "--json", "--private").stdout)
        assert found["new"] is True and found["version"] == 1 and found["files"] == len(contents(dataset, 1)) + 1
        assert hub.repos["me/prefs"].private

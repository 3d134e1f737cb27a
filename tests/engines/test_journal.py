"""What is in the journal is what was put there, bit for bit, whatever happened to the process or the file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pairwright.engines.journal import Journal, decode, encode
from pairwright.engines.requests import Chosen, Completion, Failed, Generated, Result, Scored, Usage
from pairwright.errors import PairwrightError
from pairwright.ids import digest

finite = st.floats(allow_nan=False, allow_infinity=False)
counts = st.integers(0, 10**9)
tokens = st.lists(st.integers(0, 2**31 - 1), max_size=20).map(tuple)
usages = st.builds(Usage, counts, finite, counts, finite)
completions = st.builds(
    Completion,
    st.text(),
    st.sampled_from(["stop", "length"]),
    st.none() | tokens,
    st.none() | st.lists(finite, max_size=20).map(tuple),
    st.none() | st.text(max_size=8),
)
floats32 = arrays(np.float32, st.integers(0, 20), elements=st.floats(width=32, allow_nan=True, allow_infinity=True))
scores = st.builds(Scored, tokens, floats32, st.none() | floats32, st.none() | floats32, st.none() | floats32, usages)
generated = st.builds(Generated, st.lists(completions, max_size=4).map(tuple), usages)
chosen = st.builds(Chosen, st.lists(finite, max_size=6).map(tuple), usages)
results = st.one_of(generated, chosen, scores)


def bits(result: Result) -> object:
    """Everything in a result, floats as their bits, so that -0.0, denormals and NaN are told apart."""
    if not isinstance(result, Scored):
        return repr(result)
    fields = (result.logprobs, result.entropy, result.self_certainty, result.hidden_sum)
    return result.token_ids, [None if a is None else (a.dtype.str, a.tobytes()) for a in fields], repr(result.usage)


def key(i: int) -> str:
    return digest("request", i)


def answer(i: int) -> Chosen:
    return Chosen((-float(i), -0.5), Usage(tokens=i))


def filled(folder: Path, count: int) -> Path:
    """A journal of `count` answers; its only segment."""
    journal = Journal(folder)
    for i in range(count):
        journal.put(key(i), answer(i))
    journal.close()
    (segment,) = folder.glob("*.journal")
    return segment


class TestRoundTrip:
    @given(results)
    def test_a_result_comes_back_bit_for_bit(self, result: Result) -> None:
        assert bits(decode(encode(result))) == bits(result)

    @given(st.lists(results, min_size=1, max_size=6))
    def test_so_it_does_through_the_file(self, tmp_path_factory: pytest.TempPathFactory, found: list[Result]) -> None:
        folder = tmp_path_factory.mktemp("journal")
        journal = Journal(folder)
        for i, result in enumerate(found):
            journal.put(key(i), result)
        at_once = [bits(journal.get(key(i))) for i in range(len(found))]  # type: ignore[arg-type]
        journal.close()
        again = Journal(folder)
        later = [bits(again.get(key(i))) for i in range(len(found))]  # type: ignore[arg-type]
        again.close()
        assert at_once == later == [bits(result) for result in found]

    def test_a_failure_is_never_kept(self, tmp_path: Path) -> None:
        journal = Journal(tmp_path)
        journal.put(key(0), Failed("too_long"))
        assert key(0) not in journal and len(journal) == 0
        journal.put(key(0), answer(0))
        assert journal.get(key(0)) == answer(0)

    def test_a_key_that_was_never_put_has_no_answer(self, tmp_path: Path) -> None:
        assert Journal(tmp_path / "nothing here yet").get(key(0)) is None

    def test_the_first_answer_stays(self, tmp_path: Path) -> None:
        journal = Journal(tmp_path)
        journal.put(key(0), answer(0))
        journal.put(key(0), answer(1))
        assert journal.get(key(0)) == answer(0) and len(journal) == 1

    def test_it_can_be_written_to_after_it_was_closed(self, tmp_path: Path) -> None:
        journal = Journal(tmp_path)
        for i in range(3):
            journal.put(key(i), answer(i))
            journal.close()
        assert [journal.get(key(i)) for i in range(3)] == [answer(i) for i in range(3)]

    def test_reading_alone_makes_no_file(self, tmp_path: Path) -> None:
        Journal(tmp_path / "j").close()
        assert not (tmp_path / "j").exists()


class TestDamage:
    def test_a_torn_last_line_is_ignored_and_counted(self, tmp_path: Path) -> None:
        segment = filled(tmp_path, 5)
        whole = segment.read_bytes()
        last = len(whole.splitlines(keepends=True)[-1])
        for lost in range(1, last):
            segment.write_bytes(whole[:-lost])
            journal = Journal(tmp_path)
            assert [journal.get(key(i)) for i in range(4)] == [answer(i) for i in range(4)]
            assert key(4) not in journal and journal.torn == 1
            journal.close()

    @given(st.data())
    def test_a_flipped_bit_costs_its_line_and_no_other_answer(
        self, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
    ) -> None:
        folder = tmp_path_factory.mktemp("journal")
        segment = filled(folder, 4)
        content = bytearray(segment.read_bytes())
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] ^= 1 << data.draw(st.integers(0, 7))
        segment.write_bytes(content)
        journal = Journal(folder)
        kept = [i for i in range(4) if key(i) in journal]
        assert [journal.get(key(i)) for i in kept] == [answer(i) for i in kept]
        assert len(kept) == len(journal) >= 2  # a flipped line end joins two lines
        assert journal.torn >= 1
        journal.close()

    def test_answers_put_after_the_damage_are_kept(self, tmp_path: Path) -> None:
        segment = filled(tmp_path, 2)
        segment.write_bytes(segment.read_bytes()[:-3])
        journal = Journal(tmp_path)
        journal.put(key(1), answer(1))
        journal.close()
        again = Journal(tmp_path)
        assert [again.get(key(i)) for i in range(2)] == [answer(0), answer(1)]
        assert again.torn == 1

    def test_a_folder_that_cannot_be_written_is_one_sentence(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object, **__: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "mkdir", refuse)
        with pytest.raises(PairwrightError, match="make it writable"):
            Journal(tmp_path / "j").put(key(0), answer(0))


WRITER = """
import sys
from pathlib import Path
from pairwright.engines.journal import Journal
from pairwright.engines.requests import Chosen, Usage
from pairwright.ids import digest

folder, first, count, flush_every = Path(sys.argv[1]), *map(int, sys.argv[2:])
journal = Journal(folder)
print("ready", flush=True)
sys.stdin.readline()
for i in range(first, first + count):
    journal.put(digest("request", i), Chosen((-float(i), -0.5), Usage(tokens=i)))
    if i % flush_every == 0:
        journal.flush()
        print(i, flush=True)
journal.close()
"""


def writer(folder: Path, first: int, count: int, flush_every: int) -> subprocess.Popen[str]:
    """A process that waits for a line and then writes answers; it prints the number of each one that it has flushed."""
    command = [sys.executable, "-c", WRITER, str(folder), str(first), str(count), str(flush_every)]
    root = Path(__file__).resolve().parents[2]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    return process


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


class TestProcesses:
    def test_two_that_write_at_once_lose_nothing(self, tmp_path: Path) -> None:
        writers = [writer(tmp_path, first, 2000, 50) for first in (0, 1500)]  # 500 answers are written by both
        for process in writers:
            go(process)
        for process in writers:
            process.communicate()
            assert process.returncode == 0
        journal = Journal(tmp_path)
        assert len(journal) == 3500 and journal.torn == 0
        assert all(journal.get(key(i)) == answer(i) for i in range(3500))
        assert len(list(tmp_path.glob("*.journal"))) == 2

    def test_one_killed_while_it_writes_loses_only_what_it_had_not_flushed(self, tmp_path: Path) -> None:
        process = writer(tmp_path, 0, 10**9, 7)
        go(process)
        assert process.stdout is not None
        flushed = [int(process.stdout.readline()) for _ in range(300)][-1]
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        journal = Journal(tmp_path)
        assert len(journal) > flushed
        assert all(journal.get(key(i)) == answer(i) for i in range(len(journal)))
        assert journal.torn <= 1

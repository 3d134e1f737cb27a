from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SAY = "from pairwright.files import scratch; (scratch() / 'big').write_text('x'); print(scratch(), flush=True)"
DIE = "; import os, signal; os.kill(os.getpid(), signal.SIGKILL)"


def run(code: str, folder: Path) -> Path:
    done = subprocess.run([sys.executable, "-c", code], env={"TMPDIR": str(folder)}, capture_output=True, text=True, check=False)
    return Path(done.stdout.strip())


def test_the_scratch_folder_goes_with_its_process(tmp_path: Path) -> None:
    assert not run(SAY, tmp_path).exists()


@pytest.mark.kill
def test_what_a_killed_process_left_goes_when_the_next_one_needs_a_scratch_folder(tmp_path: Path) -> None:
    left = run(SAY + DIE, tmp_path)
    assert (left / "big").exists()
    run(SAY, tmp_path)
    assert not left.exists() and not list(left.parent.glob("*.lock"))


def test_a_process_that_is_alive_keeps_its_folder(tmp_path: Path) -> None:
    code = SAY + "; import sys; sys.stdin.read(); print((scratch() / 'big').exists())"
    with subprocess.Popen(
        [sys.executable, "-c", code], env={"TMPDIR": str(tmp_path)}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as alive:
        assert alive.stdout is not None and alive.stdin is not None
        alive.stdout.readline()
        run(SAY, tmp_path)
        alive.stdin.close()
        assert alive.stdout.read().strip() == "True"

"""Files that are whole or absent: temporary name, fsync, rename. And one lock that dies with its holder."""

from __future__ import annotations

import atexit
import contextlib
import errno
import fcntl
import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from pairwright.errors import PairwrightError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
TEMPORARY = ".part-"  # a file whose name begins so is unfinished and may be removed


def check_name(name: str, what: str) -> str:
    """Return `name` if it is safe as one path component, else say what is wrong with it."""
    if not NAME.fullmatch(name):
        raise PairwrightError(
            f"{what} {name!r} cannot be a folder name: use letters, digits, '.', '_' and '-', beginning with a letter "
            "or a digit, at most 100 characters"
        )
    return name


def fsync_folder(folder: Path) -> None:
    """Make a rename inside `folder` durable."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is flushed and renamed to `path`, on failure removed."""
    with kind_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.parent / f"{TEMPORARY}{uuid.uuid4().hex}"
        try:
            yield temporary
            with temporary.open("rb+") as handle:
                os.fsync(handle.fileno())
            temporary.replace(path)
            fsync_folder(path.parent)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def kind_os_errors(path: Path) -> Iterator[None]:
    """Turn a full disk or a read-only folder into one sentence with the fix."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise PairwrightError(
                f"the disk that holds {path.parent} is full: free some space and run the same command again; "
                "what is finished is kept"
            ) from error
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise PairwrightError(f"cannot write to {path.parent}: make it writable or choose another `root`") from error
        if error.errno in (errno.ENOTDIR, errno.EEXIST, errno.ENOENT, errno.ELOOP):
            raise PairwrightError(f"cannot make the folder {path.parent} ({error.strerror}): choose another `root`") from error
        raise


@contextlib.contextmanager
def exclusive(path: Path, busy: str) -> Iterator[None]:
    """Hold an flock on `path`; raise `busy` at once if somebody else holds it. The lock ends with its process."""
    with kind_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = path.open("a+")
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PairwrightError(busy) from None
        yield
    finally:
        handle.close()


@cache
def scratch() -> Path:
    """This process's folder for what is too big for memory. It goes when the process ends; that of a killed one goes when the
    next one makes its own."""
    above = Path(tempfile.gettempdir()) / f"pairwright-{os.getuid()}"
    folder, held = above / uuid.uuid4().hex, contextlib.ExitStack()
    with kind_os_errors(above):
        above.mkdir(mode=0o700, exist_ok=True)
    if above.stat().st_uid != os.getuid():
        raise PairwrightError(f"{above} belongs to another user: remove it, or set TMPDIR to a folder of your own")
    with (above / "turn").open("a") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        for lock in above.glob("*.lock"):
            with contextlib.suppress(PairwrightError), exclusive(lock, "alive"):
                shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
                lock.unlink(missing_ok=True)
        held.enter_context(exclusive(folder.with_suffix(".lock"), f"{folder} is in use"))
        folder.mkdir()
    held.callback(folder.with_suffix(".lock").unlink, missing_ok=True)
    held.callback(shutil.rmtree, folder, ignore_errors=True)
    owner = os.getpid()
    atexit.register(lambda: held.close() if os.getpid() == owner else None)  # a forked child's end is not ours
    return folder


def remove_temporaries(folder: Path) -> int:
    """Remove unfinished files left in `folder` by a killed process; call only while holding its lock."""
    left = [p for p in folder.rglob(f"{TEMPORARY}*") if p.is_file()] if folder.exists() else []
    for path in left:
        path.unlink(missing_ok=True)
    return len(left)

"""What a build tells whoever watches it. The command line draws bars; Prefect logs; a test listens."""

from __future__ import annotations

from pairwright.engines.runner import Stats


class Progress:
    """Hears everything and says nothing; subclasses show it."""

    def begin(self, stage: str, total: int, unit: str) -> None:
        """A stage with `total` units left to do begins."""

    def advance(self, stage: str, done: int, stats: Stats) -> None:
        """`done` units are finished; called at most a few times a second."""

    def end(self, stage: str, note: str) -> None:
        """The stage is over."""

    def note(self, text: str) -> None:
        """Something the user should know."""

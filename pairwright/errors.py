"""The errors a user is meant to read: one sentence with the place and the fix, and no traceback."""


class PairwrightError(Exception):
    """Something the user can mend. The message says what was wrong, where, and what to do."""


class EngineError(PairwrightError):
    """A model could not be loaded, or its engine died twice; what is finished is kept and the next build goes on."""


class OutOfMemory(Exception):
    """Raised by an engine when one batch does not fit; the engine halves the batch and goes on."""

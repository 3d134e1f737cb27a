"""Pairwright turns prompts and a policy model into preference data you can audit."""

__version__ = "0.1.0"

"""Stands for a plug-in whose dependency is missing."""

raise ImportError("no module named 'a_missing_dependency'")

"""Routers: annotators that decide which other annotator is asked."""

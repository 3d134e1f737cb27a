"""Evaluating annotators against labelled data."""

"""Hygiene: what should not be learnt twice, not be learnt at all, or not be on both sides of a split."""

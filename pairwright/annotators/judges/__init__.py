"""Judges: models that are asked in words, or by the probabilities of a few labels, which response is better or how good it is."""

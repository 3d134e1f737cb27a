"""Calibration: from an annotator's answers to labelled items to the settings of a router. No model is called."""

"""The stages of step labels: search, judge, cut, publish."""

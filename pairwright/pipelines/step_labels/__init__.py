"""Step labels as views: pure functions of the search log (`steps`), each short. No model is called."""

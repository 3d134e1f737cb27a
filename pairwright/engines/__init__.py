"""How to ask a model: requests, the runner, the journal, and one engine per kind of server. Knows no preferences."""

"""Where prompts come from: the built-in ones, made-up arithmetic, files, the `datasets` library, a SQL query."""

"""Reports: one self-contained HTML page about a version, or about what changed between two."""

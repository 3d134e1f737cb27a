"""Is this answer equal to the reference? CPU work, in processes that can be killed. Knows no preferences."""

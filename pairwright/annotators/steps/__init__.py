"""Step labels: searches over the steps of a solution, each a sans-IO generator that grows one question's tree."""

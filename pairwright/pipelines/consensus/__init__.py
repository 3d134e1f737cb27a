"""What several annotators say together of the same pairs, and how far they agree. Pure functions of votes: no model is asked."""

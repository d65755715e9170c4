"""What a person runs: one file, one question, one figure and one table."""

"""Other people's models of the same question, restated for comparison: a file each."""

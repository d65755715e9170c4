"""The page of the documentation that lists every algorithm."""

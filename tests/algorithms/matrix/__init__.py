"""The whole registry against the executing oracle: every algorithm, every shape."""

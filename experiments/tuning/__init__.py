"""The halves of ``experiments.tuner``: the regret of a choice, and its export."""

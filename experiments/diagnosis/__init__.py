"""Figure and report of ``experiments.diagnose``."""

"""The steps of ``experiments.scale_to_100k``: fits, predictions, report."""

"""What ``experiments.check_bounds`` tries: random cases and the physical bounds."""

"""What ``experiments.readers`` does to every reader: samples, checks, fuzz, speed."""

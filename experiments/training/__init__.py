"""What the experiments about training share: plans, options and their reports."""

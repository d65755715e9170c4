"""What `experiments.bench` times, and its clock."""

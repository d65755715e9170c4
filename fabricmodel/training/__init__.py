"""A transformer's training step on a fabric; then long runs, heat, power and price."""

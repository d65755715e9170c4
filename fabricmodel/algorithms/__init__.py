"""What each algorithm counts, family by family, and the registry; no hardware."""

"""A fabric with known truth: its graph, its schedules, and the prices they recover."""

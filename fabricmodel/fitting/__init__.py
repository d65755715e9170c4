"""From measurements to a fitted model: parameters, objective, solve, posterior."""

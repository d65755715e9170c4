"""Counts x prices: the sum, the selection among candidates, the lower bounds."""

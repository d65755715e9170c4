"""ASTRA-sim's analytical backends, said in counts and prices."""

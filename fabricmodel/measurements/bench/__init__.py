"""Time the collectives of one's own JAX devices: TPU, GPU, Neuron, CPU.

``bench.points`` says what to time, ``bench.run`` times it.
"""

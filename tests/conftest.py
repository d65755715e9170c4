"""What every test runs under: double precision, and the same random cases each time.

There is no persistent compilation cache: on a CPU, XLA reports a mismatch of machine
features for every program that it loads from one (jax 0.9.0 and 0.12.0).
"""

import hypothesis
import jax

jax.config.update("jax_enable_x64", True)

hypothesis.settings.register_profile("fixed", derandomize=True, deadline=None)
hypothesis.settings.load_profile("fixed")

"""Timings with pytest-benchmark; a ratio within one run is what counts, machines differ and are noisy."""

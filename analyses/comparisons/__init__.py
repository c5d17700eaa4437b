"""Which method, which metric, which target."""

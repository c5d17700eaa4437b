"""Arrays to estimates with intervals."""

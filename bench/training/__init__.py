"""Training a network to its levels."""

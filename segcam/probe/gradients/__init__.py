"""Gradients: backward passes that save time or memory, and what rounding leaves of them."""

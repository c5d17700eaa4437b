"""Networks that are there already, as checkpoints beside those that are trained."""

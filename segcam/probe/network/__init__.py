"""Network: a network held still, run and listened to."""

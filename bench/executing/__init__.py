"""Executors: a run's cells in other processes, of this machine or of a cluster."""

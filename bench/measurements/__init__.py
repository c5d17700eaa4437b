"""Measurements of checkpoints, one a file: `MEASUREMENTS.add(Measurement(...))` is all that a new one takes.

Its section of the profile, where it has one, is in its file as well. No measurement imports another; what several need
is in `material/`. A module of another distribution is named by an entry point of the group `segcam.measurements`.
"""

"""Slow, plain second versions of each formula, written from its definition."""

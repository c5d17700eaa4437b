"""Figures of known evidence."""

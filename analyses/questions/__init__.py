"""Questions to a run: whose pixels maps name, how far they reach, when they are wrong, which of them are odd."""

"""Questions that go beyond the paper: what maps have to do with what a network does."""

"""Questions beyond the paper: whose pixels maps show and how far off, what errors look at, which maps are odd."""

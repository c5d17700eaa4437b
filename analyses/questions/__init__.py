"""Questions beyond the paper: whose pixels maps show, how far off, what errors look at, and what quality hangs on."""

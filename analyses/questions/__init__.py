"""Questions that are asked of maps beside the paper's: whose pixels they lie on, and how far off."""

"""Pictures, a file for each kind; an analysis says what is on x, y and colour."""

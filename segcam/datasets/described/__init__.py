"""What `classes.toml` says of a folder: its classes, where its files are, and what its masks' values mean."""

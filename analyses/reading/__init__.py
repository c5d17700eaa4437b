"""A run's files, as tables and as arrays with axes."""

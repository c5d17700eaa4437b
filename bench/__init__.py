"""The harness: a profile becomes a plan of cells, cells are run, tables are written."""

"""The only writers: tables, figures, page and what is published."""

"""What is asked for and what it comes to: profile, cells, plan, data, manifest."""

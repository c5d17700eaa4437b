"""What measurements are made from: columns, maps, rows."""

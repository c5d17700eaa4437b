"""Kept maps of hits, false alarms and misses: where they lie in a run, and what their arrays are called."""

from __future__ import annotations

from analyses.reading.files import folder

FOLDER = "error_maps"
PLACE = folder(FOLDER)
"""Relative to the run's folder, a file a cell."""
SETS = "sets"
"""Which set each pixel is of, `(images, h, w)`: 0 none, 1 hit, 2 false alarm, 3 miss."""
PIXELS = "set_pixels"
"""How many pixels each set has, `(images, 3)`."""
HIT, FALSE_ALARM, MISS = 1, 2, 3
"""Values of `SETS`."""

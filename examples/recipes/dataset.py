"""A data set: `segcam/datasets/noise.py`."""

import numpy as np

from segcam.datasets import DATASETS, Dataset, DatasetOptions
from segcam.samples import SPLITS, DatasetInfo, Opened, Sample


def open_noise(options: DatasetOptions) -> Opened:
    """Return noise with a square in it."""
    samples = []
    for i in range(4):
        rng = np.random.default_rng([options.seed, i])
        image = rng.integers(0, 256, (options.size, options.size, 3), dtype=np.uint8)
        mask = np.zeros((options.size, options.size), np.uint8)
        mask[: options.size // 2, : options.size // 2] = 1
        samples.append(Sample(f"noise-{i}", image, mask))
    return Opened(DatasetInfo("noise", ("background", "square"), "4 drawn images"), dict.fromkeys(SPLITS, samples))


DATASETS.add(Dataset("noise", "a square in noise", open_noise, needs_root=False))

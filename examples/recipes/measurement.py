"""How far probabilities can be trusted: a measurement of checkpoints, `bench/measurements/calibration.py`.

`run` returns the columns of each table; the runner adds those that name the checkpoint and writes them to
`scores/calibration/`. Its section of the profile is `[calibration]`: every key has a default, and `images = 0` asks for
nothing. What is finished is not done again. `plan` says which images are a cell's where a few in a row will not do.
"""

from typing import Annotated

import torch
from pydantic import Field

from bench.planning.measurement import MEASUREMENTS, Columns, MeasureJob, Measurement
from bench.planning.sections import FewImages
from segcam.samples import IGNORE


class Calibration(FewImages):
    """How well probabilities match how often they are right, in `bins` of equal width."""

    bins: Annotated[int, Field(ge=1)] = 10


@torch.no_grad()
def run(job: MeasureJob) -> dict[str, Columns]:
    """Return a row an image and bin: its pixels, their mean probability, and the share that is right; NaN for none.

    The probability is that of the class predicted; ignored pixels do not count.
    """
    bins = job.profile.section("calibration").bins
    probabilities, classes = job.model(job.batch.inputs()).softmax(1).max(1)
    place = (probabilities * bins).long().clamp(max=bins - 1).masked_fill(job.batch.masks == IGNORE, bins).flatten(1)

    def summed(values: torch.Tensor) -> torch.Tensor:
        """Sum over the pixels of each bin; the last one, of ignored pixels, is left out."""
        sums = torch.zeros(len(values), bins + 1, dtype=torch.float64, device=values.device)
        return sums.scatter_add(1, place, values.flatten(1).double())[:, :-1].flatten().cpu()

    pixels = summed(torch.ones_like(probabilities))
    columns = {
        "image": [image for image in job.batch.ids for _ in range(bins)],
        "bin": list(range(bins)) * len(job.batch.ids),
        "pixels": pixels.long().numpy(),
        "probability": (summed(probabilities) / pixels).numpy(),
        "right": (summed(classes == job.batch.masks) / pixels).numpy(),
    }
    job.advance(len(job.batch.ids), "")
    return {"calibration": columns}


MEASUREMENTS.add(Measurement("calibration", run, settings=Calibration))

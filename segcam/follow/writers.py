"""Writers: the scores of a step, told to TensorBoard or to Weights & Biases."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from segcam.errors import InputError, shown

TAG = "segcam"


class Writer(Protocol):
    """What is told of each step."""

    def __call__(self, step: int, means: Mapping[str, float], sheet: NDArray[np.uint8]) -> None:
        """Tell the means over images by name, and the step's picture `(h, w, 3)`."""


def writer_of(given: object, out: Path) -> Writer:
    """Return what writes to a `SummaryWriter`, or to a run of Weights & Biases.

    Args:
        given: the writer or run, or 'tensorboard' for a new writer into `out`.
        out: the run's folder.

    Raises:
        InputError: it is none of these, or tensorboard is not installed.
    """
    if given == "tensorboard":
        if find_spec("tensorboard") is None:
            raise InputError("writer='tensorboard' needs the package tensorboard: pip install tensorboard")
        given = import_module("torch.utils.tensorboard").SummaryWriter(str(out))
    if callable(getattr(given, "add_scalar", None)):
        return _TensorBoard(given)
    if callable(getattr(given, "log", None)):
        return _Wandb(given)
    raise InputError(
        f"the writer is {shown(given)}: give a torch.utils.tensorboard.SummaryWriter, a run of wandb.init(), or "
        "'tensorboard'"
    )


class _TensorBoard:
    def __init__(self, writer: Any) -> None:
        self._writer = writer

    def __call__(self, step: int, means: Mapping[str, float], sheet: NDArray[np.uint8]) -> None:
        for name, value in means.items():
            self._writer.add_scalar(f"{TAG}/{name}", value, step)
        self._writer.add_image(f"{TAG}/maps", sheet, step, dataformats="HWC")
        self._writer.flush()


class _Wandb:
    """Logs beside the user's own steps: the run's counter may be of batches, so that ours is a value of its own."""

    def __init__(self, run: Any) -> None:
        self._run = run
        if callable(getattr(run, "define_metric", None)):
            run.define_metric(f"{TAG}/step")
            run.define_metric(f"{TAG}/*", step_metric=f"{TAG}/step")

    def __call__(self, step: int, means: Mapping[str, float], sheet: NDArray[np.uint8]) -> None:
        values: dict[str, Any] = {f"{TAG}/step": step, **{f"{TAG}/{name}": value for name, value in means.items()}}
        if type(self._run).__module__.partition(".")[0] == "wandb":
            values[f"{TAG}/maps"] = import_module("wandb").Image(sheet)
        self._run.log(values)


def means_of(rows: Sequence[Mapping[str, Any]], method: str, metrics: Sequence[str]) -> dict[str, float]:
    """Return the means over images of one method's scores, by 'metric/layer'; without those that are undefined."""
    values: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        if row["method"] == method:
            for metric in metrics:
                values[f"{metric}/{row['layer']}"].append(row[metric])
    return {name: float(np.nanmean(some)) for name, some in values.items() if not all(map(math.isnan, some))}

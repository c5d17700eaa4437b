"""What a data set is opened with, whichever it is."""

from __future__ import annotations

from typing import Any

import pytest

from segcam.datasets import DATASETS, DatasetOptions
from segcam.errors import InputError


@pytest.mark.parametrize(
    ("options", "message"),
    [
        *(({"val_share": share}, "val_share") for share in (0.0, 1.0, -0.1, float("nan"))),
        ({"counts": (0, None, None)}, "count of train images 0"),
        ({"counts": (None, -1, None)}, "count of val images -1"),
        ({"counts": (None, None, -3)}, "count of test images -3"),
        ({"seed": -1}, "seed -1"),
        ({"seed": 1.5}, "seed 1.5"),
        ({"size": 0}, "size 0"),
        ({"size": True}, "size True"),
        ({"size": 16.0}, "size 16.0"),
        ({"val_share": "half"}, "val_share 'half'"),
        ({"counts": (1.5, None, None)}, "count of train images 1.5"),
        ({"counts": (1, 2)}, "must be three"),
    ],
)
def test_options_without_a_meaning(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        DatasetOptions(**options)


def test_data_sets_that_need_a_folder_say_so() -> None:
    needy = [dataset for dataset in DATASETS if dataset.needs_root]
    assert {dataset.name for dataset in needy} == {"folder", "oxford_pet", "photographs"}
    for dataset in needy:
        with pytest.raises(InputError, match="--data-root"):
            dataset.open(DatasetOptions())

"""Reading tables: the rows wanted of all files, whatever was read before and is still in memory."""

from __future__ import annotations

import os

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analyses import ResultsError
from analyses.reading import files

WHERE = (
    None,
    {"seed": [0]},
    {"seed": [0, 2], "method": ["sobel", "grad_cam"]},
    {"method": ["nothing such"]},
    {"method": []},
    {"model": ["vit"], "level": [50, 90], "blank": [1.0]},
)


def frame(rows: int, seed: int, model: str) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "model": model,
            "level": rng.choice([30, 50, 90], rows),
            "seed": rng.integers(3, size=rows),
            "method": rng.choice(["grad_cam", "sobel", "layer_cam"], rows),
            "gain": rng.normal(size=rows),
            "blank": rng.choice([0.0, 1.0, np.nan], rows),
        }
    )


@pytest.fixture
def paths(tmp_path):
    found = []
    for number, model in enumerate(("unet", "vit", "vit")):
        table = pa.Table.from_pandas(frame(200, number, model), preserve_index=False)
        codes = table["method"].cast(pa.string()).combine_chunks().dictionary_encode()
        table = table.set_column(3, "method", codes if number else codes.cast(pa.dictionary(pa.int8(), pa.string())))
        path = tmp_path / f"{number}.parquet"
        pq.write_table(table, path, row_group_size=64)
        found.append(path)
    return found


@pytest.mark.parametrize("columns", [None, ["seed", "gain"], ["gain", "level", "absent"]])
@pytest.mark.parametrize("where", WHERE)
def test_rows_are_those_of_a_plain_reading(paths, where, columns):
    plain = pd.concat([pd.read_parquet(path) for path in paths], ignore_index=True).astype({"method": str})
    for name, values in (where or {}).items():
        plain = plain[plain[name].isin(values)]
    shown = [name for name in (columns or plain.columns) if name in plain]
    for _ in range(2):  # from the files, and from memory
        found = files.frame(paths, ["model"], where, columns)
        assert list(found.columns) == shown
        found = found.astype({"method": str}) if "method" in found else found
        pd.testing.assert_frame_equal(found, plain[shown].reset_index(drop=True), check_dtype=False)


def test_a_file_that_has_changed_is_read_again(paths):
    assert len(files.frame(paths[:1], ["model"])) == 200
    pq.write_table(pa.Table.from_pandas(frame(150, 5, "unet"), preserve_index=False), paths[0])
    os.utime(paths[0], ns=(1, 1))
    assert len(files.frame(paths[:1], ["model"])) == 150


def test_a_column_that_is_filtered_by_must_be_there(paths):
    with pytest.raises(ResultsError, match=r"0\.parquet: 'target' is missing"):
        files.frame(paths, ["model"], {"target": ["best_pixel:logit"]})

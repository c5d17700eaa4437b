"""Numbers of other choices as they are published: rounded, few bytes, and the same for all who ask."""

from __future__ import annotations

import io
import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from analyses import Results
from analyses.paper.claims import choices, coarse, decided
from analyses.paper.claims.registration import registered
from analyses.reading.manifest import Published
from analyses.reading.sealed import sealed
from bench.output import extracts
from tests.analyses.paper.test_claims import RUN, TARGET, write_claimed

SMALLEST = 0.05
VALUES = pd.DataFrame(
    [[0.5, np.nan, -0.0311], [1e9, -1e9, 0.0]], index=[10, 11], columns=["cat", "dog", "egyptian mau"]
)


def test_numbers_are_rounded_to_a_sixteenth_of_the_smallest_effect() -> None:
    found = coarse.rounded(VALUES, SMALLEST)
    step = SMALLEST / 16
    np.testing.assert_allclose(found.loc[10], [0.5, np.nan, -10 * step], atol=1e-12)
    assert abs(found.loc[10, "egyptian mau"] - VALUES.loc[10, "egyptian mau"]) <= step / 2
    assert found.loc[11].tolist() == [32767 * step, -32767 * step, 0.0], "what no number of a map is"
    pd.testing.assert_frame_equal(coarse.rounded(found, SMALLEST), found)


def test_the_mean_over_images_hardly_moves() -> None:
    numbers = pd.DataFrame(np.random.default_rng(0).normal(0.02, 0.1, (8, 400)))
    moved = coarse.rounded(numbers, SMALLEST).to_numpy().mean() - numbers.to_numpy().mean()
    assert abs(moved) < SMALLEST / 500


def test_rows_are_what_was_put_in() -> None:
    first = coarse.Choice("unet", "edges fall", "edge_recall", "grad_cam", TARGET, "conv", "stretched", "ignore")
    second = first._replace(method="layer_cam")
    frames = {second: VALUES.iloc[:1, :2], first: VALUES}
    frame = pd.concat([coarse.rows(choice, frame, SMALLEST) for choice, frame in frames.items()])
    kept = coarse.Kept.of(frame)
    for choice, wanted in frames.items():
        found = kept.numbers(choice, SMALLEST)
        assert found is not None
        pd.testing.assert_frame_equal(found, coarse.rounded(wanted, SMALLEST), check_index_type=False)
    assert kept.numbers(first._replace(border="pet"), SMALLEST) is None
    assert [(one.placement, one.border) for one in kept.variants()] == [("stretched", "ignore")]


def test_rows_are_published_choice_by_choice() -> None:
    """So the images' names come in one order again and again, which takes a third less."""
    first = coarse.Choice("unet", "edges fall", "edge_recall", "grad_cam", TARGET, "conv", "stretched", "ignore")
    asked = (first._replace(method="layer_cam"), first, first._replace(border="pet"))
    rows = pd.concat([coarse.rows(choice, VALUES, SMALLEST) for choice in asked])
    data = extracts.parquet(rows)
    assert extracts.parquet(rows.sample(frac=1, random_state=1)) == data, "in whichever order they were"
    kept = pq.read_table(io.BytesIO(data)).to_pandas()
    assert kept["image"].tolist() == VALUES.columns.tolist() * 6
    np.testing.assert_array_equal(kept.groupby(list(coarse.KEYS), observed=True).ngroup(), np.arange(18) // 6)


def test_parts_are_told_apart_by_what_they_say() -> None:
    parts = [part.says for claim in registered().claims for part in claim.parts]
    assert len(set(parts)) == len(parts)


@pytest.mark.parametrize("models", [("unet", "segformer"), ("unet",)], ids=" ".join)
def test_a_publication_is_asked_as_the_run_is(make, tmp_path, models) -> None:
    """With the numbers that are published alone: every choice of every claim that is about maps."""
    asked = RUN | {"models": models, "factors": (), "methods": (*RUN["methods"], "layer_cam"), "seeds": (10, 11)}
    run = write_claimed(make(**asked), 1)
    folder = tmp_path / "published"
    (folder / "scores" / coarse.TABLE).mkdir(parents=True)
    table = folder / extracts.table_file(coarse.TABLE)
    table.write_bytes(extracts.parquet(choices.table(run, TARGET)))
    for path in run.parts("scores"):
        frame = pd.read_parquet(path)
        registered_alone = frame[(frame["target"] == TARGET) & (frame["method"] != "layer_cam")]
        (folder / path.relative_to(run.folder)).write_bytes(extracts.parquet(registered_alone))
    values = json.loads((run.folder / "manifest.json").read_text())
    values |= {"published": Published(analyses=("claims",)).model_dump(), "files": None}
    (folder / "manifest.json").write_bytes(sealed(values))
    of_run, of_folder = decided.decide(run, TARGET), decided.decide(Results(folder), TARGET)
    for one, other in zip(of_folder, of_run, strict=True):
        pd.testing.assert_frame_equal(pd.DataFrame(one.specifications), pd.DataFrame(other.specifications))
    tried = [one for one in of_run if one.specifications]
    assert {one.judged.claim.id for one in tried} >= {"C1", "C2"}
    assert {spec.method for one in tried for spec in one.specifications} >= {"grad_cam", "layer_cam"}
    assert pq.read_metadata(table).num_rows

"""Maps scored otherwise: each variant is what a run of its own would say, with its placement or its masks."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analyses import Results
from analyses.paper.claims import choices
from analyses.paper.claims.registration import registered
from analyses.reading.variants import Variant
from bench.measurements.scores import Scorer
from bench.planning.request import Request
from bench.planning.sections import Score
from segcam.models.weights.checkpoints import load
from segcam.samples import IGNORE, Images, Sample
from tests.bench.harness import IMAGES, LEVELS, TARGETS, finish, tables

OTHERWISE = (Variant("receptive_field"), Variant("stretched", "background"), Variant("stretched", "pet"))
FILLED = {"background": 0, "pet": 1, "ignore": IGNORE}


@pytest.fixture(scope="module")
def scored(finished: Path, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished run, with its claims' maps scored otherwise."""
    folder = Path(shutil.copytree(finished, tmp_path_factory.mktemp("specifications") / "out"))
    finish("score", tiny, folder, f"specifications.images={IMAGES}", "specifications.shard=4")
    return folder


class Filled:
    """Images whose masks' border counts as a class."""

    def __init__(self, images: Images, value: int) -> None:
        self.images, self.value = images, value

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Sample:
        sample = self.images[index]
        return replace(sample, mask=np.where(sample.mask == IGNORE, self.value, sample.mask).astype(np.uint8))


def test_only_maps_that_claims_are_about_are_there(scored: Path) -> None:
    rows = tables(scored, "specifications/*.parquet")
    assert tuple(choices._variants(Results(scored))) == OTHERWISE
    assert not rows.duplicated(["level", "image", "layer", "method", "placement", "border"]).any()
    assert set(rows["layer"].astype(str)) == set(registered().layers("unet"))
    assert set(rows["method"].astype(str)) == set(Score().methods) & set(registered().methods)
    assert set(rows["target"].astype(str)) == {TARGETS[0]}
    assert set(rows["level"]) == set(LEVELS)
    assert (rows.groupby(["placement", "border"], observed=True)["image"].nunique() == IMAGES).all()


@pytest.mark.parametrize("variant", OTHERWISE, ids=lambda variant: "-".join((variant.placement, variant.border)))
def test_a_variant_is_what_a_run_of_its_own_says(scored: Path, images: Images, variant: Variant) -> None:
    level = LEVELS[-1]
    model = load(scored / "checkpoints" / f"unet-s0-l{level}.safetensors")[0]
    settings = Score(placement=variant.placement, targets=TARGETS)
    masks = Filled(images, FILLED[variant.border])
    scorer = Scorer(model, Request.of(settings, "unet", model), settings, ("background", "pet"), "ignore")
    expected = pd.DataFrame(scorer.score(masks, range(IMAGES))["scores"])
    rows = tables(scored, "specifications/*.parquet")
    of_variant = (rows["placement"] == variant.placement) & (rows["border"] == variant.border)
    found = rows[of_variant & (rows["level"] == level)]
    both = found.astype({"image": str, "layer": str, "method": str, "target": str}).merge(
        expected, on=["image", "layer", "method", "target"], suffixes=("", "_expected"), validate="one_to_one"
    )
    assert len(both) == len(found) > 0
    for metric in registered().metrics & set(expected):
        np.testing.assert_allclose(both[metric], both[f"{metric}_expected"], atol=2e-4, err_msg=metric)


def test_the_border_and_the_placement_make_a_difference(scored: Path) -> None:
    rows = tables(scored, "specifications/*.parquet")
    means = rows.groupby(["placement", "border"], observed=True)["background_ratio"].mean()
    assert means.nunique() == len(OTHERWISE)

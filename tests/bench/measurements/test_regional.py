"""Leakage and distance as parts of a run: a row a pair of classes, or a ring, and what the profile may ask."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import analyses
from bench.measurements import distance, leakage
from bench.measurements.leakage import classes_of
from bench.measurements.material.regional import cells
from bench.planning import plan
from bench.planning import profile as profiles
from bench.planning.cells import MeasureCell
from bench.planning.data import Data, open_data
from bench.planning.measurement import Checkpoint, MeasureJob, Measurement, quiet
from bench.planning.request import Request
from segcam import InputError
from segcam.checks import by_distance
from segcam.checks import leakage as measured_leakage
from segcam.models import create
from segcam.samples import IGNORE, Opened, Sample
from segcam.scoring.distances import EDGES
from tests.bench.conftest import FEW
from tests.bench.harness import finish, tables

CLASSES = ("background", "cat", "dog", "tree")
FEW_LAYERS = '["Encoder 1_1", "Decoder 1_2"]'
LAYERS = ["Encoder 1_1", "Decoder 1_2"]
SIZE = 32


def samples() -> list[Sample]:
    """Two animals beside each other, one alone with a border, and a padded image; nowhere a tree."""
    rng = np.random.default_rng(0)
    found = []
    for n in range(3):
        mask = np.zeros((SIZE, SIZE), np.uint8)
        mask[4:14, 3:15] = 1
        valid = None
        if n == 0:
            mask[16:28, 18:30] = 2
        if n == 1:
            mask[3, 3:15] = IGNORE
        if n == 2:
            valid = np.zeros((SIZE, SIZE), bool)
            valid[:20] = True
        image = rng.integers(0, 256, (SIZE, SIZE, 3)).astype(np.uint8)
        found.append(Sample(f"i{n}", image, mask, valid=valid))
    return found


def job_of(tiny: Path, name: str, *changes: str, classes: tuple[str, ...] = CLASSES) -> MeasureJob:
    """A network with its first weights, images of four classes, and the section's settings."""
    profile = profiles.read(str(tiny), [f"{name}.images=3", *changes])
    drawn = open_data(profiles.read(str(tiny)), root=None, download=False)  # of two classes
    info = replace(drawn.opened.info, classes=classes)
    images: Any = samples()
    data: Data = replace(drawn, opened=Opened(info, {**drawn.opened.splits, "test": images}))
    (cell,) = plan.training(profile, data.digest)
    model = create("unet", len(classes), {"width": 2}, seed=3).eval()
    request = Request.of(profile.score, "unet", model)
    measured = MeasureCell(name, cell, 40, "000", (0, 1, 2), "id")
    return MeasureJob(profile, data, measured, model, request, quiet, quiet)


def run(measurement: Measurement, job: MeasureJob) -> dict[str, pd.DataFrame]:
    steps: list[int] = []
    made = measurement.run(replace(job, advance=lambda by, _text: steps.append(by)))
    assert sum(steps) == 3
    return {name: pd.DataFrame(columns) for name, columns in made.items()}


def test_a_row_a_pair_of_classes_that_an_image_shows(tiny: Path) -> None:
    job = job_of(tiny, "leakage", f"leakage.layers={FEW_LAYERS}")
    made = run(leakage.MEASUREMENT, job)
    energy, removal = made["leakage"], made["leakage_removal"]
    keys = ["image", "explained", "on_class", "target", "layer", "method"]
    assert not energy.duplicated(keys).any()
    assert set(energy["layer"]) == set(LAYERS)
    assert set(energy["method"]) == {"grad_cam", "uniform", "random", "mask_oracle"}  # those of the score
    assert set(energy["target"]) == {"predicted:margin"}
    there = {"i0": {"background", "cat", "dog"}, "i1": {"background", "cat"}, "i2": {"background", "cat"}}
    for image, classes in there.items():
        rows = energy[energy["image"] == image]
        assert set(rows["on_class"]) == classes
        assert classes <= set(rows["explained"])
    sums = energy.groupby(["image", "explained", "layer", "method"])["energy"].sum(min_count=1).dropna()
    assert sums.to_numpy() == pytest.approx(1.0, abs=1e-5)
    uniform = energy[energy["method"] == "uniform"]
    assert uniform["energy"].to_numpy() == pytest.approx(uniform["area"].to_numpy(), abs=1e-6)
    assert set(map(tuple, removal[keys[:3]].drop_duplicates().values)) == set(
        map(tuple, energy[keys[:3]].drop_duplicates().values)
    )
    padded = removal[(removal["image"] == "i2") & (removal["on_class"] == "cat")]["area"]
    assert padded.to_numpy() == pytest.approx(120 / (20 * SIZE))  # of the picture, not of the canvas


def test_numbers_are_those_of_the_library(tiny: Path) -> None:
    job = job_of(tiny, "leakage", f"leakage.layers={FEW_LAYERS}", 'leakage.imputation="blur"')
    made = run(leakage.MEASUREMENT, job)
    layers = [layer for layer in job.request.layers if layer.label in LAYERS]
    probe = job.request.probe(job.model, layers)
    found = measured_leakage(probe, job.batch, "grad_cam", classes=[0, 1, 2, 3], imputation="blur")
    energy = made["leakage"]
    for row in energy[energy["method"] == "grad_cam"].to_dict("records"):
        b, i, j = int(row["image"][1]), CLASSES.index(row["explained"]), CLASSES.index(row["on_class"])
        wanted = float(found.energy[row["layer"]][b, i, 0, j])
        assert row["energy"] == pytest.approx(wanted, rel=1e-5, nan_ok=True)
    for row in made["leakage_removal"].to_dict("records"):
        b, i, j = int(row["image"][1]), CLASSES.index(row["explained"]), CLASSES.index(row["on_class"])
        assert row["score_change"] == pytest.approx(float(found.change[b, i, j]), rel=1e-4, nan_ok=True)
        assert row["explained_pixels"] == int(found.pixels[b, i])


def test_classes_that_count_as_one_are_one(tiny: Path) -> None:
    job = job_of(tiny, "leakage", "score.class_id=[1, 2]", f"leakage.layers={FEW_LAYERS}")
    energy = run(leakage.MEASUREMENT, job)["leakage"]
    assert set(energy["explained"]) | set(energy["on_class"]) <= {"background", "cat+dog", "tree"}
    rows = energy[(energy["image"] == "i0") & (energy["method"] == "mask_oracle") & (energy["layer"] == LAYERS[0])]
    own = rows[(rows["explained"] == "cat+dog") & (rows["on_class"] == "cat+dog")]
    assert own["energy"].item() == pytest.approx(1.0, abs=1e-5)
    assert own["area"].item() == pytest.approx((120 + 144) / SIZE**2)


@pytest.mark.parametrize(
    ("lookup", "explained", "class_id", "wanted"),
    [
        (None, 1, 1, {0: 0, 1: 1, 2: 2}),
        (None, frozenset({1, 2}), frozenset({1, 2}), {0: 0, frozenset({1, 2}): frozenset({1, 2})}),
        ((0, 1, 0, 1, 2), frozenset({1, 3}), 1, {0: frozenset({0, 2}), 1: frozenset({1, 3}), 2: 4}),
        ((2, 0, 1), 2, 1, {0: 1, 1: 2, 2: 0}),
        ((0, 1, 1), frozenset({1, 2}), 1, {0: 0, 1: frozenset({1, 2}), 2: None}),
    ],
)
def test_the_network_s_classes_are_found_by_the_masks_own(
    tiny: Path, lookup: Any, explained: Any, class_id: Any, wanted: Any
) -> None:
    request = replace(job_of(tiny, "leakage").request, lookup=lookup, explained=explained, class_id=class_id)
    assert classes_of(request, 3) == wanted


def test_a_row_a_ring_and_a_half_distance_a_map(tiny: Path) -> None:
    job = job_of(tiny, "distance", f"distance.layers={FEW_LAYERS}")
    made = run(distance.MEASUREMENT, job)
    rings, halves, removal = (made[f"distance{end}"] for end in ("", "_half", "_removal"))
    maps = ["image", "target", "layer", "method"]
    assert not rings.duplicated([*maps, "ring"]).any()
    assert len(rings) == len(halves) * (len(EDGES) + 1)
    assert len(removal) == 3 * (len(EDGES) + 1)
    first, last = rings["ring"] == 0, rings["ring"] == len(EDGES)
    assert rings.loc[first, "inner"].isna().all()
    assert rings.loc[last, "outer"].isna().all()
    assert rings.loc[~first, "inner"].to_numpy() == pytest.approx(np.array(EDGES)[rings.loc[~first, "ring"] - 1])
    sums = rings.groupby(maps)["energy"].sum(min_count=1).dropna()
    assert sums.to_numpy() == pytest.approx(1.0, abs=1e-5)
    layers = [layer for layer in job.request.layers if layer.label in LAYERS]
    target = replace(job.request.targets[1], class_id=1)
    found = by_distance(job.request.probe(job.model, layers), job.batch, target, "grad_cam")
    own = rings[rings["method"] == "grad_cam"]
    for row in own.to_dict("records"):
        wanted = float(found.energy[row["layer"]][int(row["image"][1]), 0, row["ring"]])
        assert row["energy"] == pytest.approx(wanted, rel=1e-5, nan_ok=True)
    for row in halves[halves["method"] == "grad_cam"].to_dict("records"):
        wanted = float(found.half[row["layer"]][int(row["image"][1]), 0])
        assert row["half_distance"] == pytest.approx(wanted, nan_ok=True)
    for row in removal.to_dict("records"):
        b, r = int(row["image"][1]), row["ring"]
        assert row["score_change"] == pytest.approx(float(found.change[b, r]), rel=1e-4, nan_ok=True)
        assert row["ring_pixels"] == int(found.ring_pixels[b, r])


def test_edges_and_targets_are_the_profile_s(tiny: Path) -> None:
    asked = ("distance.edges=[-4, 0, 6.5]", 'distance.targets=["image:margin", "best_pixel:logit"]')
    made = run(distance.MEASUREMENT, job_of(tiny, "distance", *asked, f"distance.layers={FEW_LAYERS}"))
    assert set(made["distance"]["target"]) == {"image:margin", "best_pixel:logit"}
    assert sorted(made["distance_removal"]["outer"].dropna().unique()) == [-4.0, 0.0, 6.5]


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("distance.edges=[4, 0]", "edges.*rising distances"),
        ("distance.edges=[]", "edges"),
        ("leakage.imputation=paint", "imputation"),
        ("leakage.targets=[]", "targets.*name at least one"),
        ("leakage.edges=[0]", "edges"),
    ],
)
def test_what_a_section_cannot_be_is_told_with_its_key(tiny: Path, asked: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        profiles.read(str(tiny), [asked])


def test_methods_with_passes_of_their_own_are_refused(tiny: Path) -> None:
    for measurement in (leakage, distance):
        name = measurement.SECTION
        with pytest.raises(InputError, match=rf"{name}.methods names score_cam, which is no gradient method"):
            measurement.MEASUREMENT.run(job_of(tiny, name, f'{name}.methods=["score_cam"]'))


def test_a_run_has_tables_and_figures_of_both(
    finished: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(finished, tmp_path / "out"))
    monkeypatch.setattr(analyses, "names", lambda: [*FEW, "leakage", "distance"])
    asked = ("leakage.images=3", "distance.images=3", f"leakage.layers={FEW_LAYERS}", f"distance.layers={FEW_LAYERS}")
    finish("all", tiny, folder, *asked)
    made = {path.name for path in (*(folder / "tables").iterdir(), *(folder / "figures").iterdir())}
    names = ["leakage", "leakage_removal", "leakage_layers"]
    names += [f"distance{end}" for end in ("", "_half", "_controls", "_removal")]
    assert {f"{name}.csv" for name in names} <= made
    assert {"leakage.png", "leakage_layers.png", "distance.png"} <= made
    before = tables(folder, "leakage/*.parquet")
    assert set(before["explained"].astype(str)) == {"background", "pet"}


def test_what_defines_a_number_defines_its_cell(tiny: Path) -> None:
    def settings(*changes: str) -> list[Any]:
        job = job_of(tiny, "leakage", *changes)
        point = Checkpoint(job.cell.train, 40, highest=True, place=0)
        return [cell.settings for cell in cells("leakage", leakage.METHODS, job.profile, job.data, point)]

    plain = settings()
    assert len(plain) == 1
    for changed in ("score.placement=receptive_field", "leakage.imputation=blur", "score.class_id=0"):
        assert settings(changed) != plain, changed
    assert settings('score.methods=["layer_cam"]') != plain, "what is measured by default hangs on what is scored"
    for wrong in ('leakage.methods=["nope"]', 'leakage.methods=["rise"]', 'leakage.targets=["nope:logit"]'):
        with pytest.raises(InputError, match=r"nope|rise"):
            settings(wrong)
    assert settings("leakage.batch_size=2") == [plain[0], plain[0]]  # three images, by two
    job = job_of(tiny, "leakage", 'leakage.training_seeds="first"')
    later = Checkpoint(job.cell.train, 40, highest=True, place=1)
    assert list(cells("leakage", leakage.METHODS, job.profile, job.data, later)) == []

"""Hits, false alarms and misses explained apart: against sets, maps and scores made by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import maximum_filter
from torch import Tensor, nn

from segcam import InputError, Probe, Target, grad_cam
from segcam.checks import mistakes
from segcam.checks.mistakes import KINDS, LEAST, around, likeness, targets
from segcam.maps import layer_maps
from segcam.methods import METHODS
from segcam.metrics import METRICS
from segcam.samples import IGNORE, Batch
from segcam.scoring.reference import Scenery

ROWS, COLUMNS = 18, 26
VALID = torch.zeros(3, ROWS, COLUMNS, dtype=torch.bool)
VALID[:, :14, :20] = True


class Net(nn.Module):
    """Predicts class 1 left of a column, class 2 in a corner, whatever the image, and has a layer on half the grid."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.body, self.head = nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.Conv2d(6, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        bias = torch.zeros(1, 3, ROWS // 2, COLUMNS // 2)
        bias[:, 1, :, :6], bias[:, 0, :, 6:], bias[:, 2, 6:, :3] = 50.0, 50.0, 100.0
        return self.head(self.body(x).relu()) + bias


def batch(*, padded: bool = False) -> Batch:
    """The first image's object overlaps what is predicted, the second lacks the class, the third is all of it."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 255, (3, 3, ROWS, COLUMNS), dtype=torch.uint8, generator=generator)
    masks = torch.zeros(3, ROWS, COLUMNS, dtype=torch.uint8)
    masks[0, 2:9, 4:20], masks[0, 9, 4:20], masks[1, :, :] = 1, IGNORE, 2
    masks[2] = 1
    valid = VALID if padded else None
    if padded:
        masks[~VALID] = IGNORE
    return Batch(("one", "none", "all"), images, masks, valid=valid)


def sets(probe: Probe, given: Batch, classes: set[int]) -> dict[str, np.ndarray]:
    logits = probe(given.inputs(), Target(1, "image")).logits
    large = nn.functional.interpolate(logits, size=(ROWS, COLUMNS), mode="bilinear").argmax(1).numpy()
    masks = given.masks.numpy()
    predicted, true, known = np.isin(large, list(classes)), np.isin(masks, list(classes)), masks != IGNORE
    reach = 2 * max(1, round(0.02 * math.hypot(ROWS, COLUMNS))) + 1
    inside = (masks != IGNORE) if given.valid is None else given.valid.numpy()
    predicted &= inside
    close = np.stack([maximum_filter(one, reach, mode="constant") for one in predicted | true])
    found = predicted & true, predicted & ~true & known, ~predicted & true, ~predicted & ~true & known & close
    return dict(zip(KINDS, found, strict=True))


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("classes", [{1}, {1, 2}])
def test_the_sets_and_their_scores_are_those_made_by_hand(classes: set[int], padded: bool) -> None:
    probe, given = Probe(Net(), "body"), batch(padded=padded)
    class_id: Any = 1 if classes == {1} else frozenset(classes)
    rows = mistakes(probe, given, class_id, metrics=["energy_gain", "spread"], least=1)
    regions = sets(probe, given, classes)
    there = {(row["kind"], row["image"]): row for row in rows}
    sizes = {
        (kind, image): int(region[i].sum())
        for kind, region in regions.items()
        for i, image in enumerate(given.ids)
        if region[i].any()
    }
    assert {key: row["pixels"] for key, row in there.items()} == sizes
    scenery = Scenery.of(given, class_id)
    for (kind, image), row in there.items():
        i = given.ids.index(image)
        own = regions[kind]
        sides = (scenery.foreground | scenery.background).numpy()
        capture = probe(given.inputs(), Target(class_id, kind), masks=given.masks, valid=given.valid)
        maps = capture.maps(grad_cam).relu()[:, None]
        region = torch.from_numpy(own)
        apart = replace(scenery, foreground=region, background=torch.from_numpy(sides & ~own))
        grid = (maps.shape[2], maps.shape[3])
        gain = METRICS.get("energy_gain").compute
        assert row["own_gain"] == pytest.approx(float(gain(maps, apart.on(grid))[i, 0]), nan_ok=True, abs=1e-6)
        on_object = float(gain(maps, scenery.on(grid))[i, 0])
        assert row["energy_gain"] == pytest.approx(on_object, nan_ok=True, abs=1e-6)
        for other, column in (("hit", "like_hits"), ("rejection", "like_rejections")):
            beside = probe(given.inputs(), Target(class_id, other), masks=given.masks, valid=given.valid)
            if (other, image) not in there:
                assert np.isnan(row[column])
                continue
            pair = maps[i, 0].numpy(), beside.maps(grad_cam).relu()[i].numpy()
            if padded:
                pair = pair[0][:7, :10], pair[1][:7, :10]
            expected = np.corrcoef(pair[0].ravel(), pair[1].ravel())[0, 1]
            assert row[column] == pytest.approx(expected, abs=1e-4)


def test_an_image_without_the_class_has_false_alarms_and_what_is_rejected_beside_them() -> None:
    rows = [row for row in mistakes(Probe(Net(), "body"), batch()) if row["image"] == "none"]
    assert [row["kind"] for row in rows] == ["false_positive", "rejection"]
    assert np.isnan(rows[0]["energy_gain"])
    assert np.isfinite(rows[0]["own_gain"])
    assert np.isnan(rows[0]["like_hits"])


def test_each_image_may_have_a_class_of_its_own() -> None:
    rows = mistakes(Probe(Net(), "body"), batch(), (1, 2, 1), least=1)
    alone = [mistakes(Probe(Net(), "body"), batch(), c, least=1) for c in (1, 2)]
    wanted = [row for row in alone[0] if row["image"] != "none"] + [row for row in alone[1] if row["image"] == "none"]

    def ordered(table: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return sorted(table, key=lambda row: (row["image"], row["kind"]))

    assert len(rows) == len(wanted) > 3
    for one, other in zip(ordered(rows), ordered(wanted), strict=True):
        assert one == pytest.approx(other, nan_ok=True)


def test_what_speaks_against_the_class_counts_for_no_map() -> None:
    """A method whose maps keep their sign is measured by its positive part."""
    signed = replace(METHODS.get("grad_cam"), signed=True)
    probe, given = Probe(Net(), "body"), batch()
    maps = layer_maps(probe(given.inputs(), Target(1, "hit"), masks=given.masks), "body", [signed])[1]
    assert bool((maps < 0).any())
    plain, kept = (mistakes(probe, given, method=method, least=1) for method in ("grad_cam", signed))
    assert len(plain) == len(kept) > 3
    assert all(row == pytest.approx(same, nan_ok=True) for row, same in zip(plain, kept, strict=True))


def test_pixels_that_masks_ignore_are_on_no_side_of_what_is_explained() -> None:
    given = batch()
    capture = Probe(Net(), "body")(given.inputs(), Target(1, "predicted"))
    apart = around(Scenery.of(given), capture)
    ignored = given.masks == IGNORE
    assert bool((capture.explained.chosen & ignored).any())
    assert not bool(((apart.foreground | apart.background) & ignored).any())
    assert torch.equal(apart.foreground, capture.explained.chosen & ~ignored)
    assert torch.equal(apart.background, ~capture.explained.chosen & ~ignored)


def test_a_method_may_have_parameters_of_its_own() -> None:
    probe, given = Probe(Net(), "body"), batch()
    one, other = (mistakes(probe, given, method=method) for method in (METHODS.get("hires_cam"), "hires_cam"))
    assert len(one) == len(other) > 1
    assert all(row == pytest.approx(same, nan_ok=True) for row, same in zip(one, other, strict=True))


def test_few_hits_are_nothing_to_be_alike_to() -> None:
    every = [row for row in mistakes(Probe(Net(), "body"), batch(), least=1) if row["image"] == "one"]
    pixels = {row["kind"]: row["pixels"] for row in every}
    assert LEAST == 16 < pixels["hit"] < pixels["false_positive"]
    few = mistakes(Probe(Net(), "body"), batch(), least=pixels["hit"] + 1)
    (alarm,) = (row for row in few if (row["image"], row["kind"]) == ("one", "false_positive"))
    assert np.isnan(alarm["like_hits"])
    assert np.isfinite(next(row["like_hits"] for row in every if row["kind"] == "false_positive"))


def test_small_sets_are_left_out() -> None:
    every = mistakes(Probe(Net(), "body"), batch(), least=1)
    most = max(row["pixels"] for row in every)
    assert [row["pixels"] for row in mistakes(Probe(Net(), "body"), batch(), least=most)] == [most]
    assert mistakes(Probe(Net(), "body"), batch(), least=most + 1) == []


def test_maps_of_the_same_place_are_alike_and_padding_counts_for_nothing() -> None:
    given = batch(padded=True)
    reference = Scenery.of(given).on((9, 13))
    one, two = torch.rand(3, 2, 9, 13, generator=torch.Generator().manual_seed(4)).split(1, 1)
    assert likeness(one, 3 * one, reference).flatten().tolist() == pytest.approx([1, 1, 1], abs=1e-6)
    changed = two.clone()
    changed[..., 7:, :], changed[..., 10:] = 9.0, 5.0
    torch.testing.assert_close(likeness(one, two, reference), likeness(one, changed, reference))
    assert not torch.allclose(likeness(one, two, reference), torch.ones(3, 1))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"method": "score_cam"}, "score_cam is no gradient method"),
        ({"least": 0}, "least is 0: a set needs 1 pixel"),
        ({"metrics": ["nonsense"]}, "nonsense"),
        ({"score": "best"}, "unknown score 'best'"),
    ],
)
def test_bad_input_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        mistakes(Probe(Net(), "body"), batch(), **change)


def test_pixels_of_another_resolution_are_refused() -> None:
    capture = Probe(Net(), "body")(batch().inputs(), replace(targets(1)[0], at="output"), masks=batch().masks)
    with pytest.raises(InputError, match="explain at='input'"):
        around(Scenery.of(batch()), capture)

"""The imports that users write, and a map scored and diagnosed with them."""

from __future__ import annotations

import pytest
import torch

from segcam.checks import diagnose
from segcam.checks.faithfulness import Subjects, curves, order
from segcam.metrics import METRICS, measure
from segcam.probe import Capture, Layer, Probe, Target, find_layers
from segcam.samples import Batch
from segcam.scoring import Scenery, mean_iou
from tests.small_networks import Convolutions, seeded


def test_a_map_is_scored_and_checked() -> None:
    from segcam import grad_cam

    model = seeded(Convolutions).float()
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (2, 3, 16, 20), generator=generator, dtype=torch.uint8)
    masks = torch.randint(0, 2, (2, 16, 20), generator=generator, dtype=torch.uint8)
    batch = Batch(("a", "b"), images, masks)
    probe = Probe(model, ["conv1", "conv2"])
    capture = probe(batch.inputs(), Target(class_id=1))
    assert isinstance(capture, Capture)
    assert all(isinstance(layer, Layer) for layer in find_layers(model, "conv*"))
    maps, scenery = capture.maps(grad_cam, "conv2")[:, None], Scenery.of(batch)
    scores = measure(maps, scenery.on((maps.shape[2], maps.shape[3])), list(METRICS)[:2])
    assert all(values.shape == (2, 1) for values in scores.values())
    assert len(diagnose(probe, batch.inputs()).layers) == 2
    sides = (scenery.foreground, scenery.background)
    subjects = Subjects.of(model, batch.inputs(), 1, sides, batch.ids)
    assert curves(subjects, order(maps, batch.ids, (16, 20)), steps=2).area().shape == (2, 1)
    assert mean_iou(torch.tensor([[3, 1], [0, 4]])) == pytest.approx((3 / 4 + 4 / 5) / 2)

"""What every method of segcam's own that runs the network must hold, over the registry.

captum's are held to the same in tests/segcam/methods/test_captum.py, where what they cannot do is known.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from segcam import Layer, Probe, Target
from segcam.errors import NotApplicableError, ProbeError
from segcam.methods import METHODS, Method
from segcam.methods.material.subject import Pace, examining
from segcam.probe.layers import INPUT
from tests.small_networks import IMAGES, Convolutions, seeded, unchanged

RUN = [m for m in METHODS if m.run is not None and m.family != "captum"]
BUDGETS = {"masks": 12, "designs": 4, "channels": 3, "cells": 3, "segments": 4, "references": 2}
LAYERS = [Layer("conv1", "conv1"), Layer("norm2", "norm2")]
every = pytest.mark.parametrize("method", RUN, ids=lambda m: m.name)


def small(method: Method) -> Method:
    return method.configured({name: BUDGETS[name] for name in method.parameters if name in BUDGETS})


def paced(method: Method) -> bool:
    """Whether it runs the network more than twice on changed images: step by step, as the pace says."""
    return small(method).cost > 2


def maps(
    method: Method, model: nn.Module, layer: Layer, images: Tensor = IMAGES, pace: Pace | None = None
) -> tuple[Tensor, Tensor]:
    """The method's maps, and how many pixels each explains: those predicted as class 0, in the last image none."""
    probe = Probe(model, LAYERS)
    capture = probe(images, Target(0, "predicted"))
    assert method.run is not None
    with examining(probe, images, capture, pace=pace) as subject:
        try:
            found = method.run(subject, INPUT if method.scope == "input" else layer)
        except NotApplicableError as error:
            pytest.skip(str(error))
        return found, capture.target_pixels


@every
@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.label)
class TestRunMethods:
    def test_shape_sign_and_network_unchanged(self, method: Method, layer: Layer) -> None:
        model = seeded(Convolutions, 2)
        with unchanged(model):
            found, pixels = maps(small(method), model, layer)
        grid = IMAGES.shape[2:] if method.scope == "input" or layer.label == "conv1" else (4, 6)
        assert found.shape == (3, *grid)
        explained = pixels > 0
        assert explained.tolist() == [True, True, False]
        assert found[explained].isfinite().all()
        assert found[~explained].isnan().all()
        assert method.signed or (found[explained] >= 0).all()
        assert found[explained].abs().amax() > 0

    def test_repeatable_and_apart_from_batch_mates(self, method: Method, layer: Layer) -> None:
        model = seeded(Convolutions, 2)
        joint = maps(small(method), model, layer)[0]
        assert torch.equal(maps(small(method), model, layer)[0].nan_to_num(), joint.nan_to_num())
        for i in range(len(IMAGES)):
            alone = maps(small(method), model, layer, IMAGES[i : i + 1])[0]
            torch.testing.assert_close(alone[0], joint[i], equal_nan=True)

    def test_passes_are_no_more_than_it_says(self, method: Method, layer: Layer) -> None:
        """A sample an image and pass; and somebody is told of each."""
        model, chosen, ran = seeded(Convolutions, 2), small(method), [0]
        maps(chosen, model, layer)
        probe = Probe(model, LAYERS)
        capture = probe(IMAGES, Target(0, "predicted"))
        told: list[tuple[int, int]] = []
        with examining(probe, IMAGES, capture, pace=Pace(told=lambda *done: told.append(done))) as subject:
            if not method.all_layers:
                chosen.run(subject, layer)  # with what is found once for a network, such as its linear head
            count = lambda _m, inputs, _o: ran.__setitem__(0, ran[0] + len(inputs[0]))  # noqa: E731
            handle = model.conv1.register_forward_hook(count)
            told.clear()
            chosen.run(subject, layer)
            handle.remove()
        assert ran[0] <= (chosen.cost + method.family.count("cam")) * len(IMAGES) + 8
        if told:
            assert told[-1][0] == told[-1][1]
            assert [done for done, _ in told] == sorted({done for done, _ in told})
        assert bool(told) == paced(method)
        assert paced(method) or method.family != "perturbation"

    def test_less_memory_gives_the_same_maps(self, method: Method, layer: Layer) -> None:
        model = seeded(Convolutions, 2)
        joint = maps(small(method), model, layer)[0]
        found = maps(small(method), model, layer, pace=Pace(max_memory=60_000))[0]
        torch.testing.assert_close(found, joint, equal_nan=True)

    def test_too_little_memory_names_the_least(self, method: Method, layer: Layer) -> None:
        if not paced(method):
            pytest.skip("it runs the whole batch once or twice")
        with pytest.raises(ProbeError, match=r"max_memory is 100 bytes, .* give at least"):
            maps(small(method), seeded(Convolutions, 2), layer, pace=Pace(max_memory=100))

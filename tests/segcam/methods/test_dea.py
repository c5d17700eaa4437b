"""DEA: against its slow twin, and on evidence that is planted."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from segcam import Layer, Probe, Target, explain
from segcam.errors import InputError
from segcam.methods import METHODS
from segcam.methods.masked.dea import dea
from segcam.methods.material.subject import Pace, Subject, examining
from tests.reference import masked as slow
from tests.segcam.methods.test_gradient_free import LAYERS, TARGETS, one_score
from tests.small_networks import IMAGES, Convolutions, close, seeded, subject_of, unchanged


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("cells", [1, 3, 8])
def test_maps_equal_their_twin(name: str, target: str, cells: int) -> None:
    """On every kind of layer, with cells that do not divide the image's sides, too."""
    build, layer = LAYERS[name]
    model = seeded(build)
    pictures = IMAGES + torch.tensor([0.3, -0.2, 0.4])[:, None, None]  # whose mean is not the input's zero
    with subject_of(model, layer, pictures, target) as subject, unchanged(model):
        found = dea(subject, layer, cells)
        explained = subject.capture.target_pixels.nonzero().flatten().tolist()
        assert explained
        blank = []
        for i in explained:

            def score(image: np.ndarray, i: int = i) -> float:
                return one_score(subject, i, model(torch.from_numpy(image)[None]))

            activations, gradients = (maps[i].numpy() for maps in of_layer(subject, layer))
            twin = slow.dea(pictures[i].numpy(), score, activations, gradients, cells)
            blank.append(not twin.any())
            assert not found[i].any() if blank[-1] else close(found[i], twin)
        assert cells == 1 or not all(blank)


def test_where_maps_are_laid_changes_none() -> None:
    model, layer = seeded(Convolutions), Layer("conv2", "conv2")
    found = []
    for placement in ("stretched", "receptive_field"):
        probe = Probe(model, layer, placement=placement)
        with examining(probe, IMAGES, probe(IMAGES, Target(1, "image"))) as subject:
            found.append(dea(subject, layer))
    assert torch.equal(*found)


class Linear(nn.Module):
    """Its score is the sum of the first channel of its top left quarter: linear, of known evidence.

    In the bottom right quarter the second channel is added and the third, the same again, taken away. So the product of
    gradient and activation is large there in both, and nothing that happens to the image there changes the score.
    """

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 3, 1, bias=False)
        self.first.weight.data = torch.ones(3, 1, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.first(x)
        rows, columns = x.shape[2] // 2, x.shape[3] // 2
        read = maps[:, 0, :rows, :columns].sum((1, 2))
        cancels = 2 * (maps[:, 1] - maps[:, 2])[:, rows:, columns:].sum((1, 2))
        score = read + cancels
        return torch.stack([torch.zeros_like(score), score], 1)[:, :, None, None].expand(-1, -1, *x.shape[2:])


def of_layer(subject: Subject, layer: Layer) -> tuple[Tensor, Tensor]:
    return subject.capture.activations[layer.label], subject.capture.gradients[layer.label]


def photographs() -> Tensor:
    """Bright where the score reads and where it does not, on black: hiding a bright cell makes it darker."""
    pictures = torch.zeros(2, 1, 32, 32)
    generator = torch.Generator().manual_seed(0)
    for at in (slice(0, 16), slice(16, 32)):
        pictures[:, :, at, at] = 1 + torch.rand(2, 1, 16, 16, generator=generator)
    return pictures


def test_planted_evidence_is_found_and_a_gradient_without_effect_goes() -> None:
    """Nearly all energy is where the score reads, though gradient times activation has most of its own elsewhere."""
    layer = Layer("first", "first")
    with subject_of(Linear().eval(), layer, photographs(), "image:logit") as subject:
        found = dea(subject, layer)
        gradient = METHODS.get("element_wise").maps(*of_layer(subject, layer))
    inside, without_effect = (
        lambda maps: maps[:, :16, :16].sum((1, 2)) / maps.sum((1, 2)),
        lambda maps: maps[:, 16:, 16:].sum((1, 2)) / maps.sum((1, 2)),
    )
    assert (inside(found) > 0.9).all()
    assert (without_effect(gradient) > 0.6).all()
    assert (without_effect(found) < 0.01).all()


def test_support_is_kept_by_half_where_the_gradient_is_silent() -> None:
    """A gradient of 0 leaves half of what hiding shows; where both are at their largest the map is 1."""

    class Silent(Linear):
        def forward(self, x: Tensor) -> Tensor:
            """The score reads the image twice, past the layer and through it, each in a quarter of its own."""
            through = self.first(x)[:, 0, :16, :16].sum((1, 2))
            past = x[:, 0, 16:, 16:].sum((1, 2))
            score = through + past
            return torch.stack([torch.zeros_like(score), score], 1)[:, :, None, None].expand(-1, -1, *x.shape[2:])

    pictures = torch.zeros(1, 1, 32, 32)
    pictures[:, :, :16, :16] = pictures[:, :, 16:, 16:] = 1
    layer = Layer("first", "first")
    with subject_of(Silent().eval(), layer, pictures, "image:logit") as subject:
        found = dea(subject, layer)[0]
    assert found[4:12, 4:12].flatten().tolist() == pytest.approx([1.0] * 64)
    assert found[20:28, 20:28].flatten().tolist() == pytest.approx([0.5] * 64)
    assert not found[4:12, 20:28].any()


@pytest.mark.parametrize(("offset", "part"), [(3.1, -1.0), (1000.1, 1e-5)])
def test_where_no_hidden_cell_lowers_the_score_the_map_is_blank(offset: float, part: float) -> None:
    """The score rises with what is hidden; or falls by less than its rounding, which must not become a map."""

    class Faint(Linear):
        def forward(self, x: Tensor) -> Tensor:
            return offset + part * super().forward(x)

    layer = Layer("first", "first")
    with subject_of(Faint().eval(), layer, photographs(), "image:logit") as subject:
        assert (dea(subject, layer) == 0).all()


def test_all_layers_share_its_passes_and_somebody_is_told() -> None:
    method = METHODS.get("dea")
    assert (method.kind, method.scope, method.each, method.own_passes, method.cost) == (
        "run",
        "layer",
        "target",
        True,
        65,
    )
    model, layers, ran, told = seeded(Convolutions), [Layer("conv1", "conv1"), Layer("conv2", "conv2")], [0], []
    probe = Probe(model, layers)
    capture = probe(IMAGES, Target(1, "image"))
    model.register_forward_hook(lambda _m, inputs, _o: ran.__setitem__(0, ran[0] + len(inputs[0])))
    with examining(probe, IMAGES, capture, pace=Pace(told=lambda *done: told.append(done))) as subject:
        maps = [dea(subject, layer) for layer in layers]
        assert ran[0] == 65 * len(IMAGES)
        assert told[-1] == (195, 195)
        dea(subject, layers[0], 3)
    assert ran[0] == (65 + 10) * len(IMAGES), "other cells have passes of their own"
    assert [tuple(one.shape) for one in maps] == [(3, 8, 12), (3, 4, 6)]


def test_explain_says_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr("tqdm.std.tqdm.set_postfix_str", lambda _bar, text="", refresh=True: said.append(text))
    pictures = np.random.default_rng(0).integers(0, 256, (1, 16, 16, 3), dtype=np.uint8)
    asked = {"target": "best_pixel:logit", "layers": ["conv1", "conv2"], "methods": ["dea"], "progress": False}
    found = explain(seeded(Convolutions).float(), pictures, 1, **asked)
    assert "dea, conv1, 65 of 65 passes" in said
    assert not any(text.startswith("dea, conv2,") and "passes" in text for text in said)
    assert found.map(0, "conv2", "dea").max() > 0


def test_more_cells_than_pixels_are_refused() -> None:
    layer = Layer("conv1", "conv1")
    with (
        subject_of(seeded(Convolutions), layer) as subject,
        pytest.raises(InputError, match="cells is 9: the input's 8"),
    ):
        dea(subject, layer, 9)

"""Perturbation robustness: how images are changed, how maps are compared, and that the question stays the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from segcam import InputError, Probe, Target
from segcam.checks.robustness import (
    KINDS,
    PERTURBATIONS,
    Perturbation,
    perturbation_robustness,
    similarity,
    with_pixels_kept,
)
from segcam.maps import layer_maps
from segcam.methods import METHODS
from segcam.probe.probe import Capture
from segcam.scoring.grids import upsample
from segcam.scoring.reference import Scenery
from segcam.streams import normal
from tests.reference import robustness as slow
from tests.small_networks import Convolutions, seeded

SIZE = (14, 20)
IDS = ("cat_1", "dog_2", "cat_3")
STRENGTHS = {"noise": 0.3, "brightness": -0.4, "contrast": 0.6, "blur": 0.08}


def images(n: int = 3, size: tuple[int, int] = SIZE) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    rough = torch.randn(n, 3, size[0] // 2, size[1] // 2, generator=generator, dtype=torch.float64)
    return upsample(rough, size) + 0.2 * torch.randn(n, 3, *size, generator=generator, dtype=torch.float64)


def padded(n: int = 3) -> Tensor:
    valid = torch.ones(n, *SIZE, dtype=torch.bool)
    valid[0, :, :6] = valid[1, 9:] = False
    return valid


def all_maps_of(probe: Probe, names: tuple[str, ...]):
    methods = [METHODS.get(name) for name in names]

    def maps_of(capture: Capture) -> dict[str, Tensor]:
        return {layer.label: layer_maps(capture, layer, methods)[1] for layer in capture.layers}

    return maps_of


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("valid", [None, padded()], ids=["whole", "padded"])
def test_images_change_as_the_formula_says(kind: str, valid: Tensor | None) -> None:
    batch, strength = images(), STRENGTHS[kind]
    found = Perturbation(kind, strength).on(batch, IDS, valid=valid, seed=4)
    noise = normal(IDS, (3, *SIZE), 4, "robustness").numpy()
    for i in range(3):
        inside = np.ones(SIZE, bool) if valid is None else valid[i].numpy()
        wanted = slow.changed(batch[i].numpy(), kind, strength, inside, noise[i])
        np.testing.assert_allclose(found[i].numpy(), wanted, atol=1e-9)


def test_what_lies_in_the_padding_changes_nothing() -> None:
    valid = padded()
    batch = images()
    other = torch.where(valid[:, None], batch, 99.0)
    for kind, strength in STRENGTHS.items():
        one, two = (Perturbation(kind, strength).on(x, IDS, valid=valid) for x in (batch, other))
        torch.testing.assert_close(one[valid[:, None].expand_as(one)], two[valid[:, None].expand_as(one)])


def test_noise_goes_with_the_name_and_the_seed() -> None:
    batch, noise = images(), Perturbation("noise", 0.1)
    torch.testing.assert_close(noise.on(batch, IDS)[1:2], noise.on(batch[1:2], IDS[1:2]), rtol=0, atol=0)
    assert not torch.equal(noise.on(batch, IDS, seed=1), noise.on(batch, IDS))


@pytest.mark.parametrize("seed", range(4))
def test_maps_are_compared_as_the_formulas_say(seed: int) -> None:
    rng = np.random.default_rng(seed)
    one, other = rng.normal(size=(2, 3, 4, 5, 7))
    one[0, 0], other[0, 1], one[0, 2] = 0, 0, -1
    one[1, 0, 2, 2], other[1, 1, 0, 0] = np.nan, np.inf
    one[1, 2], other[1, 3] = np.round(np.abs(one[1, 2])), 1.0
    found = similarity(torch.from_numpy(one), torch.from_numpy(other))
    for i, m in np.ndindex(3, 4):
        wanted = slow.similarity(one[i, m], other[i, m])
        got = [float(getattr(found, name)[i, m]) for name in ("spearman", "cosine", "top")]
        np.testing.assert_allclose(got, wanted, atol=1e-9, err_msg=str((i, m)))


def test_the_same_map_is_as_alike_as_can_be_and_its_factor_does_not_matter() -> None:
    maps = torch.rand(2, 3, 6, 5, generator=torch.Generator().manual_seed(1))
    found = similarity(maps, maps * 1e-30)
    for values in (found.spearman, found.cosine, found.top):
        torch.testing.assert_close(values, torch.ones(2, 3, dtype=values.dtype), atol=1e-6, rtol=0)


def test_a_map_that_goes_has_nothing_in_common_and_an_undefined_one_no_value() -> None:
    maps = torch.rand(1, 1, 4, 4)
    gone = similarity(maps, torch.zeros_like(maps))
    assert (float(gone.spearman), float(gone.cosine), float(gone.top)) == (0, 0, 0)
    for one in (torch.zeros_like(maps), torch.full_like(maps, torch.nan)):
        blank = similarity(one, maps)
        assert all(v.isnan().all() for v in (blank.spearman, blank.cosine, blank.top))


def test_cells_of_the_padding_are_not_compared() -> None:
    """The same as of maps that are cut to the picture; alike padding makes no map more alike."""
    valid = torch.zeros(3, 12, 16, dtype=torch.bool)
    valid[0], valid[1, :, 4:12], valid[2, 6:] = True, True, True
    nothing = torch.zeros_like(valid)
    reference = Scenery(torch.zeros(3, 12, 16), nothing, nothing, IDS, valid=valid).on((6, 8))
    one, two = torch.rand(2, 3, 2, 6, 8, generator=torch.Generator().manual_seed(2))
    cuts = [np.s_[:, :], np.s_[:, 2:6], np.s_[3:, :]]
    found, whole = similarity(one, two, reference), similarity(one, two)
    for i, cut in enumerate(cuts):
        for m in range(2):
            wanted = slow.similarity(one[i, m].numpy()[cut], two[i, m].numpy()[cut])
            got = [float(getattr(found, name)[i, m]) for name in ("spearman", "cosine", "top")]
            np.testing.assert_allclose(got, wanted, atol=1e-6)
    assert not torch.allclose(found.spearman[1:], whole.spearman[1:])
    one[1, :, :, :2], two[1, :, :, :2] = 5.0, torch.nan
    torch.testing.assert_close(similarity(one, two, reference).spearman, found.spearman)


def test_a_letterboxed_image_is_as_robust_as_its_picture_alone() -> None:
    batch = images(2)
    around = torch.nn.functional.pad(batch, (0, 0, 6, 6), value=0.3)
    valid = torch.zeros(2, SIZE[0] + 12, SIZE[1], dtype=torch.bool)
    valid[:, 6:-6] = True
    for change in (Perturbation("blur", 0.2), Perturbation("contrast", 0.5)):

        def explain(x: Tensor, _: Tensor) -> dict[str, Tensor]:
            return {"all": x[:, :1].abs() ** 3}

        (alone,) = perturbation_robustness(batch, IDS[:2], explain, [change])
        (boxed,) = perturbation_robustness(around, IDS[:2], explain, [change], valid=valid)
        near = {"contrast": 1e-9, "blur": 0.05}[change.kind]  # blur is mirrored at the frame, and not at the padding
        assert torch.allclose(alone["all"].cosine, boxed["all"].cosine, atol=near)
        assert torch.allclose(alone["all"].spearman, boxed["all"].spearman, atol=near)


def test_blur_reaches_as_far_in_a_letterbox_as_in_the_picture_alone() -> None:
    """Far from the frame: of a canvas that is longer than the picture the shorter side is the picture's."""
    batch = images(1, (40, 20))
    around = torch.nn.functional.pad(batch, (30, 30, 0, 0))
    valid = torch.zeros(1, 40, 80, dtype=torch.bool)
    valid[:, :, 30:50] = True
    change = Perturbation("blur", 0.1)
    alone, boxed = change.on(batch, ["a"]), change.on(around, ["a"], valid=valid)[..., 30:50]
    torch.testing.assert_close(alone[..., 6:-6, 6:-6], boxed[..., 6:-6, 6:-6])


def test_where_a_grid_lies_is_asked_for() -> None:
    asked: list[str] = []

    def placement(label: str) -> None:
        asked.append(label)

    def explain(x: Tensor, _: Tensor) -> dict[str, Tensor]:
        return {"all": x[:, :1].abs()}

    perturbation_robustness(images(), IDS, explain, [PERTURBATIONS[0]], valid=padded(), placement=placement)
    assert asked == ["all"]


class Bright(nn.Module):
    """Its answer is the image's brightness, so that no change of light moves the order of its map's cells."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 1, 1, bias=False)
        nn.init.constant_(self.layer.weight, 1.0)

    def forward(self, x: Tensor) -> Tensor:
        bright = self.layer(x)
        return torch.cat([-bright, bright], 1)


def test_a_map_of_brightness_keeps_its_order_when_the_light_changes() -> None:
    batch = images().abs().float() + 1
    probe = Probe(Bright(), ["layer"])
    clean = probe(batch, Target(pixels="predicted"))
    explain = with_pixels_kept(probe, clean, all_maps_of(probe, ("grad_cam",)))
    dimmed, flat = perturbation_robustness(
        batch, IDS, explain, [Perturbation("brightness", -0.1), Perturbation("contrast", 0.3)]
    )
    assert float(dimmed["layer"].spearman.min()) > 0.9999
    assert float(flat["layer"].spearman.min()) > 0.9999
    (noisy,) = perturbation_robustness(batch, IDS, explain, [Perturbation("noise", 1.0)])
    assert float(noisy["layer"].spearman.max()) < 0.95


def test_the_pixels_explained_stay_those_of_the_unchanged_image() -> None:
    """Explained by hand: the changed image, with the clean capture's pixels."""
    model, batch = seeded(Convolutions), images().float()
    names = [name for name, module in model.named_modules() if isinstance(module, nn.Conv2d)][:2]
    probe = Probe(model, names)
    target = Target(pixels="best_pixel")
    valid = padded()
    clean = probe(batch, target, valid=valid)
    maps_of = all_maps_of(probe, ("grad_cam", "layer_cam"))
    change = Perturbation("noise", 5.0)
    explain = with_pixels_kept(probe, clean, maps_of, valid=valid)
    (found,) = perturbation_robustness(batch, IDS, explain, [change], valid=valid, batch_size=2)
    changed = change.on(batch, IDS, valid=valid)
    (capture,) = probe.many(changed, [target], valid=valid, fixed=[clean.explained])
    for label, maps in maps_of(capture).items():
        nothing = torch.zeros_like(valid)
        sights = Scenery(torch.zeros(valid.shape), nothing, nothing, IDS, valid=valid)
        wanted = similarity(maps_of(clean)[label], maps, sights.on((maps.shape[2], maps.shape[3])))
        torch.testing.assert_close(found[label].spearman, wanted.spearman, equal_nan=True, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(found[label].cosine, wanted.cosine, equal_nan=True, atol=1e-5, rtol=1e-5)
    free = probe(changed, target, valid=valid)
    assert not torch.equal(free.explained.chosen, clean.explained.chosen), "noise moves the best pixel here"


def test_explanations_get_the_rows_that_their_images_are_copies_of() -> None:
    asked: list[list[int]] = []

    def explain(batch: Tensor, rows: Tensor) -> dict[str, Tensor]:
        asked.append(rows.tolist())
        return {"all": batch[:, :1].abs()}

    found = perturbation_robustness(images(), IDS, explain, [Perturbation("contrast", 0.1)] * 2, batch_size=2)
    assert asked == [[0, 1], [2]] * 3
    assert [tuple(one["all"].top.shape) for one in found] == [(3, 1)] * 2


@pytest.mark.parametrize(
    ("kind", "strength", "says"),
    [
        ("fog", 1.0, "unknown perturbation 'fog'"),
        ("noise", 0.0, "noise of strength 0: wanted is a number above 0"),
        ("blur", -1.0, "blur of strength -1: wanted is a number above 0"),
        ("brightness", 0.0, "brightness of strength 0: wanted is a number other than 0"),
        ("contrast", 1.5, "contrast of strength 1.5: wanted is a number above 0, up to 1"),
        ("noise", float("nan"), "noise of strength nan"),
    ],
)
def test_what_is_wrong_is_named(kind: str, strength: float, says: str) -> None:
    with pytest.raises(InputError, match=says):
        Perturbation(kind, strength)


def test_a_name_an_image_is_needed() -> None:
    with pytest.raises(InputError, match="3 images have 2 names"):
        PERTURBATIONS[0].on(images(), IDS[:2])

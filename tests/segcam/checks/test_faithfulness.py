"""Faithfulness: curves along orders of pixels, random subsets, and stability under small noise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segcam import InputError, Probe, Target
from segcam.checks.faithfulness import (
    KINDS,
    OUTCOMES,
    Noise,
    Subjects,
    Subsets,
    area_matched,
    curves,
    impute,
    infidelity,
    max_sensitivity,
    order,
    random_order,
    sensitivity_n,
)
from segcam.checks.faithfulness.imputation import NOISE, blurred
from segcam.checks.faithfulness.orders import orders_of
from segcam.maps import layer_maps
from segcam.methods import METHODS
from segcam.scoring.grids import upsample
from segcam.streams import normal, permutations
from tests.peers import package
from tests.reference import faithfulness as slow
from tests.small_networks import Convolutions, seeded, unchanged

SIZE = (16, 20)
IDS = ("cat_1", "dog_2", "cat_3")


def images(seed: int = 0, n: int = 3, size: tuple[int, int] = SIZE) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    rough = torch.randn(n, 3, size[0] // 2, size[1] // 2, generator=generator, dtype=torch.float64)
    return upsample(rough, size) + 0.2 * torch.randn(n, 3, *size, generator=generator, dtype=torch.float64)


def subjects(model: nn.Module | None = None, batch: Tensor | None = None, ids: tuple[str, ...] = IDS) -> Subjects:
    batch = images(n=len(ids)) if batch is None else batch
    shape = (len(batch), *batch.shape[2:])
    generator = torch.Generator().manual_seed(5)
    sides = torch.randint(0, 3, shape, generator=generator)
    return Subjects.of(model or seeded(Convolutions), batch, 1, (sides == 1, sides == 0), ids)


def some_maps(n: int = 3, m: int = 2, grid: tuple[int, int] = (4, 5)) -> Tensor:
    return torch.rand(n, m, *grid, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def answer_of(model: nn.Module):
    def answer(image: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return upsample(model(torch.from_numpy(image)[None]), image.shape[1:])[0].numpy()

    return answer


def sides_of(own: Subjects, i: int):
    return 1, own.chosen[i].numpy(), own.foreground[i].numpy(), own.background[i].numpy()


class Reads(nn.Module):
    """What is predicted hangs on some pixels alone: the more their mean, the further right the prediction reaches."""

    def __init__(self, evidence: Tensor, seen: list[Tensor] | None = None) -> None:
        super().__init__()
        self.evidence, self.seen = evidence, seen

    def forward(self, x: Tensor) -> Tensor:
        if self.seen is not None:
            self.seen.append(x.clone())
        own = (x.mean(1) * self.evidence).flatten(1).sum(1) / self.evidence.sum()
        left = torch.linspace(1, -1, x.shape[3], dtype=x.dtype).expand(len(x), *x.shape[2:])
        return torch.stack([torch.zeros_like(left), 2 * own.view(-1, 1, 1) + 3 * left - 3], 1)


def telling(size: tuple[int, int] = (20, 20)) -> tuple[Tensor, Tensor]:
    """An image that is bright where the evidence is, at the right, beside what is predicted."""
    evidence = torch.zeros(size, dtype=torch.bool)
    evidence[5:10, 12:18] = True
    return torch.where(evidence, 2.0, -1.0).double().expand(1, 3, *size).clone(), evidence


def reading(images: Tensor, evidence: Tensor, seen: list[Tensor] | None = None) -> Subjects:
    """A network that reads the evidence, on images named 'a', 'b', ..."""
    sides = (evidence.expand(len(images), -1, -1), ~evidence.expand(len(images), -1, -1))
    return Subjects.of(Reads(evidence, seen), images, 1, sides, tuple("abc"[: len(images)]))


# orders


def test_orders_are_those_of_plain_sorting_with_ties_at_random():
    maps = torch.randint(0, 4, (3, 2, *SIZE), generator=torch.Generator().manual_seed(0)).double()
    found, ties = order(maps, IDS, SIZE, 7), permutations(IDS, SIZE[0] * SIZE[1], 7, "ties")
    for i in range(3):
        for j in range(2):
            assert found[i, j].tolist() == slow.order(maps[i, j].numpy(), ties[i].tolist())


def test_orders_follow_the_upsampled_map():
    maps = some_maps()
    pixels = order(maps, IDS, SIZE)
    assert (pixels.sort(2).values == torch.arange(SIZE[0] * SIZE[1])).all()
    assert (upsample(maps, SIZE).flatten(2).gather(2, pixels).diff(dim=2) <= 1e-6).all()


def test_scale_is_irrelevant():
    maps = some_maps()
    assert torch.equal(order(maps * 2.0**-40, IDS, SIZE), order(maps, IDS, SIZE))
    own = Subsets.draw(subjects(), samples=4, tiles=8)
    for measure in (infidelity, sensitivity_n):
        torch.testing.assert_close(measure(maps * 1e-12, own), measure(maps, own), rtol=1e-9, atol=1e-12)


def test_a_uniform_map_gives_a_random_order_that_name_and_seed_fix():
    one = random_order(IDS, SIZE, 1)
    assert torch.equal(one, order(torch.full((3, 1, 2, 2), 0.3), IDS, SIZE, 1))
    assert torch.equal(one[1:2], random_order(IDS[1:2], SIZE, 1))
    assert not torch.equal(one, random_order(IDS, SIZE, 2))
    assert not torch.equal(one[0], one[1])
    assert 0.35 < (one[:, 0, :160] < 160).double().mean() < 0.65


def test_blank_and_undefined_maps_have_no_order():
    maps = some_maps(3, 3)
    maps[0, 1], maps[1, 0, 2, 2], maps[2, 2, 0, 0] = 0, torch.nan, torch.inf
    pixels = order(maps, IDS, SIZE)
    for orders in (pixels, area_matched(pixels, subjects().chosen, IDS)):
        for missing in ((orders == -1).all(2), (orders == -1).any(2)):
            assert missing.nonzero().tolist() == [[0, 1], [1, 0], [2, 2]]


def test_area_matched_orders_are_those_of_the_plain_loop():
    inside, pixels = subjects().chosen, order(some_maps(), IDS, SIZE)
    matched, chance = area_matched(pixels, inside, IDS, 4), permutations(IDS, SIZE[0] * SIZE[1], 4, "matched")
    for i in range(3):
        for j in range(2):
            twin = slow.area_matched(pixels[i, j].tolist(), inside[i].numpy(), chance[i].tolist())
            assert matched[i, j].tolist() == twin


# imputation


def holes(seed: int, n: int = 3, size: tuple[int, int] = SIZE) -> Tensor:
    """Single pixels and whole parts."""
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(n, *size, generator=generator) < 0.3) | (
        upsample(torch.rand(n, 1, 3, 3, generator=generator), size)[:, 0] > 0.6
    )


@pytest.mark.parametrize("how", ["mean", "blur", "noisy_linear"])
def test_imputation_is_that_of_the_plain_loops(how):
    batch, gone = images(), holes(1)
    gone[2] = True
    found, noise = impute(batch, gone, IDS, how, 3), normal(IDS, (3, *SIZE), 3, "road").numpy()
    for i in range(3):
        twin = slow.noisy_linear(noise[i], NOISE) if how == "noisy_linear" else getattr(slow, how)
        np.testing.assert_allclose(found[i].numpy(), twin(batch[i].numpy(), gone[i].numpy()), atol=1e-12)
    assert torch.equal(found.movedim(1, -1)[~gone], batch.movedim(1, -1)[~gone])


@pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")  # theirs
def test_noisy_linear_fills_as_the_authors_code_does():
    peer = package("pytorch_grad_cam.metrics.road").NoisyLinearImputer(noise=0)
    batch, gone = images(2).float(), holes(4)
    ours = impute(batch, gone, IDS, "noisy_linear")
    noise = normal(IDS, (3, *SIZE), 0, "road").float() * batch.flatten(1).std(1, unbiased=False).view(-1, 1, 1, 1)
    for i in range(3):
        theirs = peer(batch[i], (~gone[i]).float())
        clean = ours[i] - NOISE * noise[i] * gone[i]
        torch.testing.assert_close(clean, theirs, atol=1e-5, rtol=1e-5)


# curves


@pytest.mark.parametrize("imputation", ["mean", "noisy_linear"])
@pytest.mark.parametrize("context", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_curves_and_areas_are_those_of_the_plain_loops(kind, context, imputation):
    own, maps = subjects(), some_maps()
    pixels = order(maps, IDS, SIZE)
    found = curves(own, pixels, kind, context=context, steps=3, imputation=imputation, batch_size=5, seed=2)
    noise = normal(IDS, (3, *SIZE), 2, "road").numpy()
    assert own.chosen.flatten(1).any(1).all()
    for i in range(3):
        twin = slow.noisy_linear(noise[i], NOISE) if imputation == "noisy_linear" else slow.mean
        image, answer = own.images[i].numpy(), answer_of(own.model)
        for j in range(2):
            values = slow.curve(kind, context, 3, pixels[i, j].tolist(), image, sides_of(own, i), answer, twin)
            np.testing.assert_allclose(found.values[i, j].numpy(), values, rtol=1e-9)
            areas = [slow.area([point[k] for point in values]) for k in range(3)]
            np.testing.assert_allclose(found.areas[i, j].numpy(), areas, rtol=1e-9)
            for k, outcome in enumerate(OUTCOMES):
                assert found.area(outcome)[i, j] == found.areas[i, j, k]


def test_the_pixels_that_matter_beat_random_ones_and_the_last_come_last():
    image, evidence = telling()
    own = reading(image, evidence)
    maps = torch.stack([evidence.double(), (~evidence).double()])[None]
    pixels = torch.cat([order(maps, own.ids, (20, 20)), random_order(own.ids, (20, 20))], 1)
    for imputation in ("blur", "mean"):
        oracle, reverse, random = curves(own, pixels, imputation=imputation).area()[0].tolist()
        assert oracle < random - 0.1
        assert random < reverse
        oracle, reverse, random = curves(own, pixels, "insertion", imputation=imputation).area()[0].tolist()
        assert oracle > random > reverse


def test_evidence_beside_the_set_shows_in_its_context_alone():
    image, evidence = telling()
    own = reading(image, evidence)
    own = replace(own, chosen=own.chosen & ~evidence)
    pixels = torch.cat([order(evidence.double()[None, None], own.ids, (20, 20)), random_order(own.ids, (20, 20))], 1)
    oracle, random = curves(own, pixels, context=True, imputation="mean").area()[0].tolist()
    assert oracle < random - 0.1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("imputation", ["mean", "blur", "noisy_linear"])
def test_the_context_variant_never_touches_the_set(kind, imputation):
    image, evidence = telling()
    seen: list[Tensor] = []
    own = reading(image, evidence, seen)
    inside = own.chosen[0]
    assert inside.any()
    assert not inside.all()
    assert (own.unchanged == own.unchanged).all()
    seen.clear()
    curves(own, order(some_maps(1, 2), ("a",), (20, 20)), kind, context=True, steps=3, imputation=imputation)
    changed = torch.cat(seen)
    assert len(changed) == 2 * 2 + 1  # inner points of two maps, and all gone once
    assert torch.equal(changed[..., inside], image[..., inside].expand(len(changed), -1, -1))
    assert (changed[..., ~inside] != image[..., ~inside]).flatten(1).any(1).all()


def test_what_has_no_value_is_nan_and_costs_nothing():
    image, evidence = telling()
    seen: list[Tensor] = []
    own = reading(torch.cat([image, -10 - image]), evidence, seen)  # nothing is predicted in the second
    assert own.empty.tolist() == [False, True]
    maps = some_maps(2, 3)
    maps[0, 1] = 0
    assert own.unchanged[1].isnan().all()
    seen.clear()
    found = curves(own, order(maps, own.ids, (20, 20)), steps=4).values
    assert found[0, [0, 2]].isfinite().all()
    assert found[0, 1].isnan().all()
    assert found[1].isnan().all()
    assert sum(map(len, seen)) == 2 * 3 + 1
    subsets = Subsets.draw(own, samples=3)
    for measure in (infidelity, sensitivity_n):
        assert measure(maps, subsets).isfinite().tolist() == [[True, False, True], [False] * 3]


def test_no_context_no_curve():
    image, evidence = telling()
    own = reading(image + 5, evidence)
    assert own.chosen.all()
    pixels = order(some_maps(1), ("a",), (20, 20))
    assert curves(own, pixels, context=True).values.isnan().all()
    assert curves(own, pixels).values.isfinite().all()
    nowhere = replace(reading(image, evidence), foreground=own.foreground & False, background=own.background & False)
    found = curves(nowhere, pixels).values
    assert found[..., 2].isnan().all()  # no truth, no IoU
    assert found[..., :2].isfinite().all()


class Shares(nn.Module):
    """Numbers that may be read as probabilities, which add up to 1, or as logits."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x).softmax(1)


def test_outcomes_are_of_what_the_target_says_that_the_output_means():
    model, batch = seeded(Convolutions), images()
    sides = torch.zeros(len(batch), *SIZE, dtype=torch.bool), torch.ones(len(batch), *SIZE, dtype=torch.bool)
    shares = Shares(model)
    with torch.no_grad():
        logits = {"probabilities": shares(batch).log(), "logits": shares(batch)}
    for output, classes in logits.items():
        own = Subjects.of(shares, batch, 1, sides, IDS, Target(1, output=output))
        probabilities = upsample(classes, SIZE).softmax(1)[:, 1]
        wanted = (probabilities * own.chosen).sum((1, 2)) / own.chosen.sum((1, 2))
        torch.testing.assert_close(own.unchanged[:, 0], wanted)
        torch.testing.assert_close(own.unchanged[:, 1], torch.ones_like(wanted))


def test_a_share_of_nothing_is_undefined():
    """The object is missed as it is, and hit once the dark spot that hides it is gone: no share of an IoU of 0."""
    image, evidence = telling()
    own = reading(torch.where(evidence, 0.5, 4.0).expand_as(image), evidence)
    missed = replace(own, foreground=~own.chosen, background=own.chosen)
    assert own.chosen.any()
    assert missed.unchanged[0, 2] == 0
    first = order(evidence[None, None].double(), ("a",), (20, 20))
    found = curves(missed, first, steps=4, imputation="mean")
    values = found.values[0, 0]
    assert values[1:, 1].min() < 1, "what is predicted changes"
    assert values[:, :2].isfinite().all()
    assert values[:, 2].isnan().all()
    assert found.areas[0, 0].isnan().tolist() == [False, False, True]


def test_neither_the_batch_nor_its_size_plays_a_part():
    own, maps = subjects(), some_maps()
    pixels = order(maps, IDS, SIZE)
    whole = curves(own, pixels, steps=4, imputation="noisy_linear").values
    torch.testing.assert_close(curves(own, pixels, steps=4, imputation="noisy_linear", batch_size=1).values, whole)
    fields = ("images", "class_ids", "chosen", "foreground", "background", "ids")
    last = replace(own, **{name: getattr(own, name)[2:] for name in fields})
    alone = curves(last, order(maps[2:], IDS[2:], SIZE), steps=4, imputation="noisy_linear").values
    torch.testing.assert_close(alone, whole[2:])
    drops = Subsets.draw(own, samples=3, tiles=8).drops
    torch.testing.assert_close(Subsets.draw(last, samples=3, tiles=8, batch_size=2).drops, drops[2:])


def test_the_network_is_left_as_it_was():
    model = seeded(Convolutions).train()
    with unchanged(model):
        curves(subjects(model), order(some_maps(), IDS, SIZE), steps=2)


# random subsets


def test_infidelity_and_sensitivity_are_those_of_the_plain_loops():
    own, maps = subjects(), some_maps()
    subsets = Subsets.draw(own, shares=(0.2, 0.5), samples=5, tiles=8, imputation="mean", seed=1)
    wrong, right = infidelity(maps, subsets), sensitivity_n(maps, subsets)
    answer = answer_of(own.model)
    for i in range(3):
        image, sets = own.images[i].numpy(), subsets.gone[i].numpy()
        whole = slow.outcomes(answer(image), *sides_of(own, i))[0]
        drops = [whole - slow.outcomes(answer(slow.mean(image, gone)), *sides_of(own, i))[0] for gone in sets]
        np.testing.assert_allclose(subsets.drops[i].numpy(), drops, atol=1e-12)
        for j in range(2):
            cells = maps[i, j].numpy()
            assert wrong[i, j] == pytest.approx(slow.infidelity(cells, sets, drops), abs=1e-7)
            assert right[i, j] == pytest.approx(slow.sensitivity_n(cells, sets, drops, subsets.shares.tolist()))


def test_sets_are_tiles_of_the_share_asked_for():
    subsets = Subsets.draw(subjects(batch=images(size=(32, 32))), shares=(0.25, 0.5), samples=3, tiles=8)
    assert subsets.gone.double().mean((2, 3)).tolist() == [[0.25] * 3 + [0.5] * 3] * 3
    tiles = subsets.gone.view(3, 6, 8, 4, 8, 4)
    assert (tiles.all(5).all(3) == tiles.any(5).any(3)).all()
    assert len({one.numpy().tobytes() for one in subsets.gone.flatten(0, 1)}) == 18


def test_a_map_of_what_pixels_are_worth_foretells_all():
    sets = (torch.rand(2, 12, *SIZE, generator=torch.Generator().manual_seed(2)) < 0.3).bool()
    worth = some_maps(2, 1, SIZE)
    drops = (worth * sets).sum((2, 3))
    subsets = Subsets(sets, torch.full((12,), 0.3, dtype=torch.float64), drops)
    torch.testing.assert_close(infidelity(7 * worth, subsets), torch.zeros(2, 1, dtype=torch.float64))
    torch.testing.assert_close(sensitivity_n(7 * worth, subsets), torch.ones(2, 1, dtype=torch.float64))
    assert infidelity(-worth, subsets).isnan().all(), "what is nowhere above zero shows nothing"
    assert sensitivity_n(-worth, subsets).isnan().all()
    against = Subsets(sets, subsets.shares, -drops)
    assert (infidelity(worth, against) == 1).all()
    assert (sensitivity_n(worth, against) < -0.999).all()


def test_nothing_to_foretell_is_nan():
    own = Subsets.draw(subjects(), samples=3, tiles=8)
    still = Subsets(own.gone, own.shares, torch.zeros_like(own.drops))
    assert infidelity(some_maps(), still).isnan().all()
    assert sensitivity_n(some_maps(), still).isnan().all()
    level = torch.ones(3, 1, 4, 4, dtype=torch.float64)
    same = Subsets.draw(subjects(batch=images(size=(16, 16))), samples=3, tiles=8)
    assert sensitivity_n(level, same).isnan().all()  # all sums are the same
    assert infidelity(level, same).isfinite().all()


# stability

GRADIENT = [METHODS.get(name) for name in ("grad_cam", "hires_cam")]


def maps_of(capture):
    return {layer.label: layer_maps(capture, layer, GRADIENT)[1] for layer in capture.layers}


def plain_maps(model: Convolutions, image: Tensor, chosen: Tensor) -> dict[str, np.ndarray]:
    """Grad-CAM and HiResCAM of two layers of one image, by autograd and without hooks."""
    first = model.norm1(model.conv1(image[None])).detach().requires_grad_()
    second = model.conv2(first.relu())
    second.retain_grad()
    logits = F.interpolate(model.head(second.relu()), image.shape[1:], mode="bilinear")
    (logits[0, 1] * chosen).sum().div(chosen.sum()).backward()
    maps = {}
    for name, layer in (("norm1", first), ("conv2", second)):
        a, g = layer.detach()[0], layer.grad[0]
        maps[name] = torch.stack([(g.mean((1, 2))[:, None, None] * a).sum(0), (g * a).sum(0)]).relu().numpy()
    return maps


@pytest.mark.parametrize("pixels", ["best_pixel", "predicted"])
def test_max_sensitivity_is_that_of_the_plain_loops(pixels):
    model, batch = seeded(Convolutions), images(4)
    probe, target = Probe(model, ["norm1", "conv2"]), Target(1, pixels)
    clean = probe(batch, target)
    found = max_sensitivity(probe, batch, clean, maps_of, IDS, noise=Noise(3, 0.5, 6), batch_size=4)
    copies = Noise(3, 0.5, 6).on(batch, IDS)
    moved = 0
    for i in range(3):
        kept = clean.explained.chosen[i]
        base = plain_maps(model, batch[i], kept)
        again = [target.explain(model(copy[i : i + 1]), SIZE).chosen[0] for copy in copies]
        moved += sum(not torch.equal(kept, one) for one in again)
        frozen = [plain_maps(model, copy[i], kept) for copy in copies]
        free = [plain_maps(model, copy[i], one) for copy, one in zip(copies, again, strict=True)]
        for name in ("norm1", "conv2"):
            for j in range(2):
                for values, others in ((found.frozen, frozen), (found.repicked, free)):
                    wanted = slow.max_sensitivity(base[name][j], [other[name][j] for other in others])
                    assert values[name][i, j] == pytest.approx(wanted, rel=1e-9)
    assert moved  # else the two numbers would be the same


def test_noise_stays_in_its_ball_and_is_fixed_by_the_name():
    batch = images()
    copies = Noise(5, 0.2, 1).on(batch, IDS)
    size = (copies - batch).abs().amax((2, 3, 4)) / batch.flatten(1).std(1, unbiased=False)
    assert (size <= 0.2 + 1e-12).all()
    assert (size > 0.19).all()
    torch.testing.assert_close(Noise(5, 0.2, 1).on(batch[2:], IDS[2:]), copies[:, 2:])
    assert not torch.equal(copies[0], copies[1])


def test_max_sensitivity_of_the_whole_image_picks_nothing_again():
    probe, batch = Probe(seeded(Convolutions), ["conv2"]), images(4)
    clean, passes = probe(batch, Target(1, "image")), []
    probe.model.register_forward_hook(lambda *_: passes.append(1))
    stability = max_sensitivity(probe, batch, clean, maps_of, IDS, noise=Noise(2))
    assert len(passes) == 1, "of all copies at once, and none again"
    assert torch.equal(stability.frozen["conv2"], stability.repicked["conv2"])
    assert (stability.frozen["conv2"] > 0).all()


def test_max_sensitivity_is_nan_where_nothing_is_explained():
    model, batch = seeded(Convolutions), images(4)
    with torch.no_grad():
        model.head.bias[1] = -100
    probe = Probe(model, ["conv2"])
    found = max_sensitivity(probe, batch, probe(batch, Target(1, "predicted")), maps_of, IDS, noise=Noise(2))
    assert found.frozen["conv2"].isnan().all()
    assert found.repicked["conv2"].isnan().all()

    def turned(capture):
        return {label: -maps for label, maps in maps_of(capture).items()}

    negative = max_sensitivity(probe, batch, probe(batch, Target(1, "image")), turned, IDS, noise=Noise(2))
    assert negative.frozen["conv2"].isnan().all()
    assert negative.repicked["conv2"].isnan().all()


def test_a_blur_that_reaches_beyond_a_small_image_stays_inside():
    """Mirrored at the frame, so that an even image stays as it is."""
    torch.testing.assert_close(blurred(torch.full((1, 2, 5, 7), 0.3), 4.0), torch.full((1, 2, 5, 7), 0.3))


# errors


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda own, pixels: curves(own, pixels, "delete"), "unknown kind of curve 'delete': known are deletion, ins"),
        (lambda own, pixels: curves(own, pixels, imputation="blurr"), r"unknown imputation.*did you mean 'blur'"),
        (lambda own, pixels: curves(own, pixels, steps=0), "at least 1"),
        (lambda own, pixels: curves(own, pixels, steps=1).area("accuracy"), "unknown outcome"),
        (lambda own, pixels: curves(own, pixels[:, 0]), r"orders are \(3, 320\) for images \(3, 16, 20\)"),
        (lambda own, pixels: curves(own, pixels[:2]), r"orders are \(2, 1, 320\) for images \(3, 16, 20\)"),
        (
            lambda own, pixels: orders_of(pixels[:0], own.chosen[:0]),
            r"orders are \(0, 1, 320\) for images \(0, 16, 20\)",
        ),
        (lambda own, _: Subsets.draw(own, samples=2), "at least 3"),
        (lambda own, _: Subsets.draw(own, tiles=17), "take from 1 to 16"),
        (lambda *_: Noise(0), r"0 draws of radius 0\.1: at least 1 draw"),
    ],
)
def test_wrong_names_and_numbers_are_refused(call, message):
    with pytest.raises(InputError, match=message):
        call(subjects(), random_order(IDS, SIZE))

"""The film of a training: what it shows, and that the training is the same without it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from analyses.reading.files import FILMS, PREDICTED, STEPS, TOP
from bench.filming import GREYS, Film, steps_of
from bench.output.store import Store
from bench.planning.request import Request
from bench.planning.sections import Score
from segcam.maps import layer_maps
from segcam.models import create
from segcam.samples import Batch, Sample
from tests.bench.harness import finish, manifest

SAMPLES = [
    Sample(name, np.random.default_rng(i).integers(0, 256, (32, 32, 3), dtype=np.uint8), np.ones((32, 32), np.uint8))
    for i, name in enumerate(("a", "b"))
]


def network(seed: int = 0) -> nn.Module:
    return create("unet", 2, {"width": 4}, seed)


def film(folder: Path, name: str = "one") -> Film:
    score = Score(targets=("predicted:logit",), methods=("grad_cam",), points=("head",))
    request = Request.of(score, "unet", network())
    return Film(Store(folder), f"{FILMS}/unet-s0.npz", name, SAMPLES, request, (0, 2, 5))


def taken(folder: Path) -> dict[str, np.ndarray]:
    with np.load(folder / FILMS / "unet-s0.npz") as kept:
        return {name: kept[name] for name in kept.files}


def test_frames_are_the_networks_maps(tmp_path: Path) -> None:
    made, device = film(tmp_path), torch.device("cpu")
    for step in range(3):
        made.take(network(step), step, device=device)
    made.take(network(3), 3, True, device=device)
    frames = taken(tmp_path)
    assert frames[STEPS].tolist() == [0, 2, 3], "those asked for, as they come, and the last"
    batch = Batch.of(SAMPLES)
    for i, seed in enumerate((0, 2, 3)):
        (capture,) = made.request.probe(network(seed)).many(batch.inputs(), made.request.targets, masks=batch.masks)
        expected = layer_maps(capture, made.request.layers[0], made.request.methods)[1][:, 0]
        name = f"predicted:logit|grad_cam|{made.request.layers[0].label}"
        maps = frames[name][i] / GREYS * frames[TOP + name][i][:, None, None]
        np.testing.assert_allclose(maps, expected.nan_to_num(), atol=float(expected.nan_to_num().max()) / GREYS)
        np.testing.assert_array_equal(frames[PREDICTED][i], capture.logits.argmax(1))
    np.testing.assert_array_equal(frames["images"], [sample.image for sample in SAMPLES])


def test_the_network_stays_as_it_is(tmp_path: Path) -> None:
    model = network().train()
    model.requires_grad_(requires_grad=False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    random = torch.random.get_rng_state()
    film(tmp_path).take(model, 0, device=torch.device("cpu"))
    assert all(module.training for module in model.modules())
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.random.get_rng_state(), random)


def test_frames_that_were_taken_stay(tmp_path: Path) -> None:
    film(tmp_path).take(network(), 0, device=torch.device("cpu"))
    first = taken(tmp_path)
    again = film(tmp_path)
    again.take(network(7), 0, device=torch.device("cpu"))
    again.take(network(1), 2, device=torch.device("cpu"))
    both = taken(tmp_path)
    assert both[STEPS].tolist() == [0, 2]
    assert all(np.array_equal(both[name][0], first[name][0]) for name in first if "|" in name)
    film(tmp_path, "another").take(network(7), 0, device=torch.device("cpu"))
    assert taken(tmp_path)[STEPS].tolist() == [0]


def test_what_cannot_be_read_is_taken_anew(tmp_path: Path) -> None:
    (tmp_path / FILMS).mkdir(parents=True)
    (tmp_path / FILMS / "unet-s0.npz").write_bytes(b"PK\x03\x04 cut")
    film(tmp_path).take(network(), 0, device=torch.device("cpu"))
    assert taken(tmp_path)[STEPS].tolist() == [0]


@pytest.mark.parametrize(("total", "frames"), [(700, 24), (5, 24), (1, 1), (0, 3), (9, 0), (4500, 2)])
def test_steps_are_no_more_than_asked_for(total: int, frames: int) -> None:
    steps = steps_of(total, frames)
    assert len(steps) <= frames
    assert list(steps) == sorted(set(steps))
    assert not steps or (steps[0] == 0 and steps[-1] in {0, total})


def test_a_run_has_a_film_and_the_same_weights_without(finished: Path, tiny: Path, tmp_path: Path) -> None:
    files = [name for name in manifest(finished)["files"] if name.startswith(FILMS)]
    assert files
    assert all((finished / name).is_file() for name in files)
    finish("train", tiny, tmp_path / "run", "film.frames=0")
    assert not (tmp_path / "run" / FILMS).exists()
    kept = sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir())
    assert kept
    for name in kept:
        one, other = (folder / "checkpoints" / name for folder in (finished, tmp_path / "run"))
        assert one.read_bytes() == other.read_bytes()


def test_the_newest_frame_is_a_picture(tmp_path: Path) -> None:
    made, device = film(tmp_path), torch.device("cpu")
    made.look = "looks/one.webp"
    made.take(network(), 0, device=device)
    with Image.open(tmp_path / "looks" / "one.webp") as first:
        assert first.size == (
            2 * 34 * 3,
            2 * 34 * 3,
        )  # two tiles of 34 pixels beside each other, drawn three times as large
        before = np.asarray(first)
    made.take(network(1), 2, device=device)
    with Image.open(tmp_path / "looks" / "one.webp") as second:
        assert (np.asarray(second) != before).any()
    made.bare = frozenset({"a", "b"})
    made.take(network(2), 5, device=device)
    with Image.open(tmp_path / "looks" / "one.webp") as bare:
        assert abs(likeness(np.asarray(bare))) < 0.3
    assert likeness(before) > 0.6


def likeness(picture: np.ndarray) -> float:
    """Return how the first tile goes with the first photograph."""
    photograph = SAMPLES[0].image[..., 1].repeat(3, 0).repeat(3, 1)
    return float(np.corrcoef(picture[3:99, 3:99, 1].ravel(), photograph.ravel())[0, 1])

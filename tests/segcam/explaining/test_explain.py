"""Explaining a network in a few lines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from matplotlib.text import Text
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import segcam
from segcam import Batch, Probe, Sample, Target, grad_cam
from segcam.errors import DataError, InputError
from segcam.explaining import Explained
from segcam.metrics import METRICS, measure
from segcam.scoring.grids import upsample
from segcam.scoring.reference import Scenery

NAMES = ["background", "cat", "dog"]
DRAWN = np.random.default_rng(0).integers(0, 256, (2, 32, 48, 3), dtype=np.uint8)
MASKS = np.zeros((2, 32, 48), np.uint8)
MASKS[:, 8:20, 10:30] = 1
MASKS[:, 20:28, 10:30] = 2


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), nn.ReLU(), nn.Conv2d(6, 6, 3, 2, 1), nn.ReLU(), nn.Conv2d(6, 3, 1))


def explained(images: Any = DRAWN, class_id: Any = "cat", **options: Any) -> Explained:
    options = {"classes": NAMES, "methods": ["grad_cam", "sobel"], "metrics": None, **options}
    return segcam.explain(network(), images, class_id, **options)


@pytest.fixture(scope="module")
def masked() -> Explained:
    return explained(masks=MASKS)


def test_scores_and_maps_are_those_of_probe_and_metrics(masked: Explained) -> None:
    batch = Batch.of([Sample(f"image {i + 1}", DRAWN[i], MASKS[i]) for i in range(2)])
    capture = Probe(network(), "*")(batch.inputs(), Target(1, "predicted"))
    maps = capture.maps(grad_cam, "2")
    values = measure(maps[:, None], Scenery.of(batch, 1).on((8, 12)), list(METRICS))
    rows = masked.scores.query("layer == '2' and method == 'grad_cam'")
    for name, column in values.items():
        np.testing.assert_allclose(rows[name], column[:, 0], rtol=1e-4, atol=1e-5, equal_nan=True)
    large = upsample(maps[:, None], (32, 48), None)[:, 0]
    np.testing.assert_allclose(masked.map(1, "2", "grad_cam"), large[1], atol=1e-6)
    assert set(masked.scores["against"]) == {"mask"}


def test_a_row_a_map(masked: Explained) -> None:
    assert len(masked.scores) == 2 * len(masked.layers) * 2
    assert not masked.scores.duplicated(["image", "class", "target", "layer", "method"]).any()
    assert "2 images, classes cat" in repr(masked)


def test_without_masks_scores_are_against_the_prediction() -> None:
    found = explained()
    assert set(found.scores["against"]) == {"predicted region"}
    region = found.prediction(0)
    assert found.scores["area"].iloc[0] == pytest.approx(region.mean(), abs=1e-6)


def files(folder: Path) -> tuple[str, str]:
    for name in ("photos", "masks"):
        (folder / name).mkdir()
    for i, (photograph, mask) in enumerate(zip(DRAWN, MASKS, strict=True)):
        Image.fromarray(photograph).save(folder / "photos" / f"p{i}.png")
        Image.fromarray(mask).save(folder / "masks" / f"p{i}_mask.png")
    return str(folder / "photos"), str(folder / "masks")


def same(found: Explained, masked: Explained) -> None:
    for metric in ("energy_inside", "edge_alignment"):
        np.testing.assert_allclose(found.scores[metric], masked.scores[metric], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "form",
    [
        lambda _: ([Image.fromarray(one) for one in DRAWN], [Image.fromarray(one) for one in MASKS]),
        lambda _: (torch.from_numpy(DRAWN).permute(0, 3, 1, 2), torch.from_numpy(MASKS)),
        lambda _: (list(zip(DRAWN, MASKS, strict=True)), None),
        lambda _: ([{"image": DRAWN[i], "mask": MASKS[i]} for i in range(2)], None),
        files,
        lambda folder: (f"{files(folder)[0]}/*.png", f"{folder}/masks"),
    ],
)
def test_images_and_masks_in_any_form(form: Any, tmp_path: Path, masked: Explained) -> None:
    images, masks = form(tmp_path)
    same(explained(images, masks=masks), masked)


def test_grey_images_in_one_array_are_several() -> None:
    found = explained(DRAWN[..., 0], methods="grad_cam")
    assert [found.map(i).shape for i in range(len(found))] == [(32, 48)] * 2
    np.testing.assert_array_equal(found.prepared[1].photograph.picture[..., 2], DRAWN[1, ..., 0])


def test_data_sets_and_loaders_of_what_the_network_takes(masked: Explained) -> None:
    inputs = Batch.of([Sample(str(i), DRAWN[i], MASKS[i]) for i in range(2)]).inputs()
    data = TensorDataset(inputs, torch.from_numpy(MASKS))
    for images in (data, DataLoader(data, batch_size=2), [tuple(one) for one in data]):
        found = explained(images)
        np.testing.assert_allclose(found.scores["energy_inside"], masked.scores["energy_inside"], rtol=5e-3, atol=1e-4)
    batch = next(iter(DataLoader(data, batch_size=2)))
    for pair, count in ((batch, 2), (data[1], 1), ((DRAWN[1], MASKS[1]), 1)):  # as they come, not in a list
        assert len(explained(pair, methods="uniform").scores.query("against == 'mask'")["image"].unique()) == count


def test_what_the_network_takes_is_not_prepared_again() -> None:
    wish = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4], "order": "bgr"}
    scale = torch.tensor([[0.3, 0.4, 0.5], [0.4, 0.3, 0.2]])[:, None, :, None, None]  # of red, green and blue
    numbers = ((torch.from_numpy(DRAWN).permute(0, 3, 1, 2) / 255 - scale[0]) / scale[1]).flip(1)
    photographs = explained(inputs=wish, methods="grad_cam")
    given = explained(numbers, inputs=wish, methods="grad_cam")
    np.testing.assert_allclose(given.map(1, "0"), photographs.map(1, "0"), atol=1e-5)
    assert explained(numbers.bfloat16(), inputs=wish, methods="grad_cam").scores["target_score"].notna().all()
    with pytest.raises(
        InputError, match="3 channels of floating-point numbers, and image 'image 1' 3 channels as a ph"
    ):
        explained([DRAWN[0], numbers[1]], inputs=wish)


def test_images_have_as_many_channels_as_the_network_takes() -> None:
    grey, inputs = DRAWN[..., 0], {"mean": [0.5], "std": [0.25]}
    net = nn.Sequential(nn.Conv2d(1, 6, 3, 2, 1), nn.ReLU(), nn.Conv2d(6, 3, 1))
    options: dict[str, Any] = {"methods": "sobel", "target": "image:logit", "inputs": inputs}
    found = segcam.explain(net, [grey[0], Image.fromarray(grey[1])], 1, size=64, **options)
    assert [one.sample.image.shape for one in found.prepared] == [(64, 64, 1)] * 2
    np.testing.assert_array_equal(found.prepared[1].photograph.picture, DRAWN[1, ..., :1].repeat(3, 2))
    with pytest.raises(InputError, match=r"\(32, 48, 3\): the network takes 1 channels"):
        segcam.explain(net, DRAWN[0], 1, **options)


def test_images_of_unlike_sizes_keep_their_own() -> None:
    images = [DRAWN[0], DRAWN[1][:24, :24]]
    found = explained(images)
    assert [found.map(i).shape for i in range(2)] == [(32, 48), (24, 24)]
    small = explained(images, size=32)
    assert [small.map(i).shape for i in range(2)] == [(32, 48), (24, 24)]
    assert small.prepared[0].box is not None


def test_pictures_show_the_photograph_without_its_padding() -> None:
    pytest.importorskip("matplotlib")
    found = explained([DRAWN[0]], size=32)
    assert found.prepared[0].box == (5, 0, 21, 32)
    figure = found.show()
    panels = [axes for axes in figure.axes if axes.get_label() == "panel"]
    assert {axes.images[0].get_array().shape[:2] for axes in panels} == {(21, 32)}
    assert "Grad-CAM for 'cat' in image 1" in [text.get_text() for text in figure.findobj(Text)]


def test_the_network_says_how_photographs_are_resized() -> None:
    squashed = explained(inputs={"size": 32, "resize": "squash"})
    assert squashed.prepared[0].sample.mask.shape == (32, 32)
    assert squashed.prepared[0].box is None
    assert squashed.map(0).shape == (32, 48)
    assert explained(inputs={"size": 32, "resize": "squash"}, resize="pad").prepared[0].box == (5, 0, 21, 32)


def test_a_size_that_is_no_square_is_said() -> None:
    with pytest.warns(segcam.errors.SegcamWarning, match="wants 32 x 64, and photographs are brought to squares"):
        found = explained(inputs={"size": [32, 64]}, methods="grad_cam")
    assert found.prepared[0].sample.mask.shape == (64, 64)


def test_classes_sets_one_an_image_and_those_predicted_most() -> None:
    assert explained(class_id={"cat", "dog"}).classes == ("cat+dog",)
    assert explained(class_id=[1, "dog"]).scores.groupby("image")["class"].first().tolist() == ["cat", "dog"]
    most = explained(class_id=None)
    assert set(most.classes) <= {"cat", "dog"}
    assert explained(class_id=2, target="best_pixel:margin").scores["target"].unique().tolist() == ["best_pixel:margin"]


def test_pictures_and_page(masked: Explained, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    assert masked.show(0).axes
    page = masked.save(tmp_path / "mine")
    text = page.read_text()
    assert text.count("data:image/webp;base64,") == 4  # a strip and the errors of each image
    assert masked.errors(0).shape == (32, 48, 3)  # type: ignore[union-attr]  # there are masks
    assert "http" not in text.replace("http-equiv", "")
    with Image.open(tmp_path / "mine" / "overlays" / "image_1" / "cat-2.png") as overlay:
        assert overlay.size == (48, 32)
    assert np.load(tmp_path / "mine" / "maps" / "image_1" / "cat-grad_cam-2.npy").shape == (8, 12)
    assert (tmp_path / "mine" / "scores.csv").is_file()
    assert "<img" in masked._repr_html_()


def test_names_that_files_cannot_tell_apart(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    for n, name in enumerate(("a b", "a_b", "A_b")):
        Image.fromarray(noise((16 + n, 16))).save(tmp_path / f"{name}.png")
    explained(tmp_path, methods="uniform").save(tmp_path / "out")
    assert len(list((tmp_path / "out" / "overlays").iterdir())) == 3


def test_names_are_escaped(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    found = segcam.explain(network(), DRAWN[:1], 1, classes=["a", "<b onload=x>", "c"], methods=["grad_cam"])
    assert "<b onload" not in found.save(tmp_path).read_text()


def test_the_network_is_left_as_it_was() -> None:
    net = network().train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    segcam.explain(net, DRAWN, 1, methods=["grad_cam"])
    assert net.training
    assert not net._forward_pre_hooks
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


class Fixed(nn.Module):
    """Takes images of one size alone."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x).reshape(len(x), 3, 64, 64)


WRONG: list[tuple[Any, dict[str, Any], str]] = [
    ([], {}, "there is no image"),
    ("/nowhere/at/all", {}, "there is no such image"),
    (5, {}, "images are 5"),
    ([np.zeros((4, 4, 4, 4, 4), np.uint8)], {}, "image 'image 1' is"),
    ([np.zeros((8, 8, 2), np.uint8)], {}, "one or three channels"),
    ([np.zeros((3, 8, 8), np.int64)], {}, "int64"),
    (Image.fromarray(np.full((8, 8), 999, np.uint16)), {}, "has mode I;16"),
    (Image.fromarray(np.zeros((8, 8), np.float32)), {}, "has mode F"),
    (b"photo", {}, "images are"),
    ([np.full((3, 8, 8), np.nan, np.float32)], {}, "NaN"),
    (DRAWN, {"masks": MASKS[:1]}, "1 masks are given for 2 images"),
    (DRAWN, {"masks": MASKS[:, :4]}, "the mask of 'image 1' is"),
    (DRAWN, {"masks": MASKS + 0.5}, "fractions"),
    (DRAWN, {"class_id": "bird"}, "unknown class 'bird'"),
    (DRAWN, {"class_id": 9}, "class 9 does not exist"),
    (DRAWN, {"class_id": [1]}, "1 classes are given for 2 images"),
    (DRAWN, {"metrics": ["iou"]}, "metric 'iou' measures against masks"),
    (DRAWN, {"methods": ["grad_cat"]}, "unknown method 'grad_cat'"),
    ([(DRAWN[0], MASKS[0]), DRAWN[1]], {}, "image 'image 2' has no mask"),
    ([{"picture": DRAWN[0]}], {}, "one of image, pixel_values"),
    ([DRAWN[0] / np.float32(255)], {}, "floating-point numbers: these go into the network as they are"),
    ([np.zeros((3, 8, 8), np.float32)], {"size": 32}, "size is 32, and image 'image 1' holds floating-point"),
    (DRAWN, {"masks": MASKS * 7}, "holds 7, 14: the network has classes 0 to 2"),
    (DRAWN, {"masks": MASKS * 0}, "no mask holds the class that is explained, cat: they hold 0"),
    (DRAWN, {"class_id": None, "masks": np.where(MASKS, 255, 0)}, r"explained, .*: they hold 0, 255 \(ignored\)"),
    (DRAWN, {"size": 0}, "size is 0"),
    (DRAWN, {"size": (32, 32)}, "size is"),
    (DRAWN, {"resize": "crop"}, "unknown resize 'crop'"),
    (DRAWN, {"methods": []}, "methods are empty"),
    (DRAWN, {"weights": []}, "weights are empty"),
    (DRAWN, {"methods": ["sobel", "sobel"]}, "name each once"),
    (DRAWN, {"device": "gpu"}, "device 'gpu' cannot be used"),
    (DRAWN, {"device": "cuda:99"}, "device 'cuda:99' cannot be used"),
]


@pytest.mark.parametrize(("images", "options", "words"), WRONG)
def test_what_cannot_be_explained_is_one_error(images: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises((InputError, DataError), match=words):
        explained(images, **options)


def test_what_is_not_there_is_named(masked: Explained) -> None:
    for wrong in ({"image": "x"}, {"layer": "x"}, {"method": "x"}, {"class_name": "x"}, {"image": 7}, {"image": 0.5}):
        with pytest.raises(InputError, match=r"unknown|does not exist|name one"):
            masked.map(**wrong)
    with pytest.raises(InputError, match="folder is None"):
        masked.save(None)  # type: ignore[arg-type]


def noise(size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (*size, 3), dtype=np.uint8)


def test_turned_photographs_are_upright(tmp_path: Path) -> None:
    picture = Image.fromarray(noise((20, 40)))
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save(tmp_path / "turned.jpg", exif=exif)
    assert explained(tmp_path / "turned.jpg").map().shape == (40, 20)
    assert explained(tmp_path / "turned.jpg", masks=MASKS[0, :20, :40].T, class_id={1, 2}).masked
    with pytest.raises(InputError, match="an EXIF tag turns image 'turned', and tools that draw masks may ignore it"):
        explained(tmp_path / "turned.jpg", masks=MASKS[0, :20, :40])


def test_files_are_read_as_those_of_data_sets(tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 8), 999, np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(DataError, match="has more than 8 bits"):
        explained(tmp_path / "deep.png")
    Image.fromarray(DRAWN[0]).save(tmp_path / "a.png")
    Image.fromarray(MASKS[0]).save(tmp_path / "a_mask.jpg")
    with pytest.raises(DataError, match="is a JPEG, which changes values"):
        explained(tmp_path / "a.png", masks=tmp_path / "a_mask.jpg")


def test_a_class_without_a_pixel_is_said() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 3, 1))
    nn.init.constant_(net[1].bias, 0)
    net[1].bias.data[2] = -99
    with pytest.warns(segcam.errors.SegcamWarning, match="no image has a pixel of class 'class 2'"):
        segcam.explain(net, DRAWN, 2, methods="grad_cam")


def test_a_network_that_fails_says_so() -> None:
    with pytest.raises(segcam.SegcamError, match="network"):
        segcam.explain(Fixed(), DRAWN, 1)


def test_several_weights_are_levels(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    nets = [network(), network()]
    nets[1][2].weight.data *= -1
    for i, net in enumerate(nets):
        torch.save(net.state_dict(), tmp_path / f"e{i}.pt")
    given = network()
    weights = [tmp_path / "e0.pt", tmp_path / "e1.pt"]
    found = segcam.explain(given, DRAWN, 1, weights=weights, methods="grad_cam", metrics=["gini"])
    assert list(found.levels) == ["e0", "e1"]
    assert found.scores["level"].unique().tolist() == ["e0", "e1"]
    for i, level in enumerate(found.levels):
        alone = segcam.explain(nets[i], DRAWN, 1, methods="grad_cam", metrics=["gini"])
        rows = found.scores[found.scores["level"] == level]
        np.testing.assert_allclose(rows["gini"], alone.scores["gini"])
        np.testing.assert_array_equal(found.levels[level].map(1, "2"), alone.map(1, "2"))
    assert torch.equal(given[2].weight, network()[2].weight)
    assert list(found[1].levels) == ["e0", "e1"]
    assert "level by level" in found.save(tmp_path / "mine").read_text()
    with pytest.raises(InputError, match="twice"):
        segcam.explain(given, DRAWN, 1, weights=weights[:1] * 2)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"methods": ["attention_rollout"]}, "attention_rollout: .*attention"),
        ({"methods": ["score_cam"], "own_pass_images": 0}, "own_pass_images leaves score_cam no photograph"),
    ],
)
def test_methods_without_any_map_are_refused(asked: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        explained(**asked)

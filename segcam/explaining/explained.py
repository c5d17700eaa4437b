"""Explained: what `explain` found: maps, their scores, pictures of them, a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
import torch.nn.functional as F  # noqa: N812  (torch's own convention)
from PIL import Image

from segcam.draw import overlay, strip
from segcam.errors import InputError, unknown
from segcam.explaining import checking, page
from segcam.explaining.photographs import Photograph
from segcam.files import user_path, write_whole
from segcam.methods import Method
from segcam.networks import OwnNetwork
from segcam.probe.choice import Choice
from segcam.probe.layers import Layer
from segcam.probe.targets import Explained as Pixels
from segcam.probe.targets import Target
from segcam.samples import Batch, Sample
from segcam.scoring.grids import Placement, upsample

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from segcam.checks.faithfulness.curves import Kind
    from segcam.probe.probe import Capture

Box = tuple[int, int, int, int]
SHOWN = 9
"""Panels of a strip unless layers are named: more would be too small."""


@dataclass(frozen=True, slots=True)
class Key:
    """Which map: the image's number, the class, the layer and the method."""

    image: int
    class_name: str
    layer: str
    method: str


@dataclass(frozen=True, slots=True)
class Prepared:
    """A photograph, and as the network sees it: where the picture lies in it, None for everywhere."""

    photograph: Photograph
    sample: Sample
    box: Box | None


@dataclass(frozen=True, slots=True)
class Seen:
    """What a network predicts in an image of a class, and what is explained.

    Attributes:
        region: where the class is predicted.
        pixel: the pixel that is explained, where it is one.
        target: what is explained, with what is known of the network.
        pixels: those that the target chose.
    """

    region: npt.NDArray[np.bool_]
    pixel: tuple[int, int] | None
    target: Target
    pixels: Pixels


@dataclass(eq=False)
class Explained:
    """Maps of a network's layers for some photographs, and their scores.

    Attributes:
        network: the network.
        prepared: the photographs.
        choice: the layers that were probed, and why others were not.
        methods: that made the maps.
        masked: whether scores are against masks; else against what the network predicts.
        scores: a row a map, a column a metric; `against` says against what.
        skipped: why a layer has no map of a method.
    """

    network: OwnNetwork
    prepared: Sequence[Prepared]
    choice: Choice
    methods: tuple[Method, ...]
    masked: bool
    scores: pd.DataFrame = field(default_factory=pd.DataFrame)
    skipped: dict[tuple[str, str], str] = field(default_factory=dict)
    _maps: dict[Key, npt.NDArray[np.float32]] = field(default_factory=dict, repr=False)
    _places: dict[Key, Placement | None] = field(default_factory=dict, repr=False)
    _seen: dict[tuple[int, str], Seen] = field(default_factory=dict, repr=False)

    def __repr__(self) -> str:
        """Say what is there."""
        region = "masks" if self.masked else "predicted regions"
        return (
            f"Explained({len(self.images)} images, classes {', '.join(self.classes)}, {len(self.layers)} layers, "
            f"{len(self.methods)} methods, against {region})"
        )

    def _repr_html_(self) -> str:
        """Show the first image's strip in a notebook."""
        return page.picture(self, 0, self._method(None), self._class(0, "")) if self._seen else repr(self)

    def seen_in(self, image: str | int) -> tuple[str, ...]:
        """Return the classes that are explained in an image."""
        number = self._image(image)
        return tuple(name for of, name in self._seen if of == number)

    @property
    def images(self) -> tuple[str, ...]:
        """The images' names."""
        return tuple(one.photograph.name for one in self.prepared)

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers' labels, in the order in which they run."""
        return tuple(layer.label for layer in self.choice.layers)

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes that are explained."""
        return tuple(dict.fromkeys(name for _, name in self._seen))

    def map(
        self, image: str | int = 0, layer: str | Layer | None = None, method: str | None = None, class_name: str = ""
    ) -> npt.NDArray[np.float32]:
        """Return a map at the photograph's own size, `(rows, columns)`, upsampled from where its cells lie.

        Args:
            image: its name or number.
            layer: its label; the last unless given.
            method: its name; the first unless given.
            class_name: of the class; the image's first unless given.

        Raises:
            InputError: there is no such map; the message lists what there is.
        """
        number, name = self._image(image), self.layer(layer)
        key = Key(number, self._class(number, class_name), name, self._method(method))
        if key not in self._maps:
            raise InputError(
                f"layer '{name}' has no map of {key.method}: {self.skipped.get((name, key.method), 'none')}"
            )
        one = self.prepared[number]
        size = (int(one.sample.mask.shape[0]), int(one.sample.mask.shape[1]))
        large = upsample(torch.from_numpy(self._maps[key])[None, None], size, self._places[key])
        return self._own(large[0, 0].numpy(), number)

    def grid(
        self, image: str | int = 0, layer: str | Layer | None = None, method: str | None = None, class_name: str = ""
    ) -> npt.NDArray[np.float32]:
        """Return a map on its layer's own grid; see `map`."""
        number, name = self._image(image), self.layer(layer)
        return self._maps[Key(number, self._class(number, class_name), name, self._method(method))]

    def prediction(self, image: str | int = 0, class_name: str = "") -> npt.NDArray[np.bool_]:
        """Return where a class is predicted, at the photograph's own size."""
        number = self._image(image)
        region = self._seen[number, self._class(number, class_name)].region
        own: npt.NDArray[np.bool_] = self._own(region.astype(np.float32), number) > 0.5
        return own

    def show(
        self,
        image: str | int = 0,
        method: str | None = None,
        layers: Sequence[str] | None = None,
        class_name: str = "",
        *,
        raw: bool = False,
        width: float = 17.0,
    ) -> Figure:
        """Return a figure: the photograph with outline and prediction, and a strip of layers; a notebook shows it.

        Args:
            image: its name or number.
            method: the first unless given.
            layers: their labels; unless given some, evenly spread.
            class_name: the image's first class unless given.
            raw: see `segcam.draw.strip`.
            width: of the figure, in centimetres.
        """
        number, name = self._image(image), self._method(method)
        of_class, one = self._class(number, class_name), self.prepared[number]
        chosen = [self.layer(layer) for layer in layers] if layers is not None else _spread(self.layers, SHOWN)
        maps: dict[str, Any] = {}
        places: dict[str, Placement | None] = {}
        for layer in chosen:
            key = Key(number, of_class, layer, name)
            maps[layer] = self._maps[key] if key in self._maps else self.skipped.get((layer, name), "no map")
            places[layer] = self._places.get(key)
        seen = self._seen[number, of_class]
        picture = one.photograph.picture
        if one.sample.image.dtype == np.uint8:
            picture = Batch.of([one.sample]).displayed()[0].permute(1, 2, 0).numpy()
        return strip(
            picture,
            maps,
            mask=self._true(number, of_class),
            prediction=seen.region,
            placements=places,
            size=(int(one.sample.mask.shape[0]), int(one.sample.mask.shape[1])),
            class_name=of_class,
            pixel=seen.pixel,
            title=f"{one.photograph.name}: {of_class}, {name}",
            raw=raw,
            width=width,
        )

    def save(self, folder: str | Path, method: str | None = None) -> Path:
        """Write overlays at the photographs' own size, maps, scores, and a page that opens from disk.

        `overlays/IMAGE/CLASS-LAYER.png` are of one method, `maps/IMAGE/CLASS-METHOD-LAYER.npy` of all, on the layer's
        own grid; `scores.csv` and `index.html` beside them.

        Args:
            folder: where; it is made.
            method: of the overlays and the page's strips; the first unless given.

        Returns:
            The page.

        Raises:
            InputError: the folder cannot be written.
        """
        out, name = user_path(folder, "folder"), self._method(method)
        try:
            out.mkdir(parents=True, exist_ok=True)
            write_whole(out / "scores.csv", [self.scores.to_csv(index=False).encode()], "table")
            for key, values in self._maps.items():
                self._save(out, key, values, pictured=key.method == name)
            index = out / "index.html"
            write_whole(index, [page.html(self, name).encode()], "page")
        except OSError as error:
            raise InputError(f"{out} cannot be written ({error.strerror or error}): choose another folder") from error
        return index

    def diagnosis(self, method: str = "grad_cam") -> pd.DataFrame:
        """Return why maps are blank or negative: a row an image, class and layer; see `segcam.checks.diagnose`."""
        return checking.diagnosis(self, method)

    def faithfulness(
        self,
        images: int = 2,
        layers: Sequence[str] | None = None,
        *,
        kinds: Sequence[Kind] = ("deletion", "insertion"),
        steps: int = 5,
        imputation: str = "blur",
    ) -> pd.DataFrame:
        """Return what becomes of the predicted set when the pixels that maps name go, or come first.

        Areas under the curves of `segcam.checks.faithfulness.curves`: low is good for deletion, high for insertion.

        Args:
            images: how many, evenly spread.
            layers: their labels; the first, one in the middle and the last unless given.
            kinds: of curves.
            steps: of each curve.
            imputation: what stands where pixels are gone: 'blur', 'mean' or 'noisy_linear'.

        Returns:
            A row an image, class, layer, method and kind; a column an outcome.
        """
        return checking.faithfulness(self, images, layers, kinds, steps, imputation)

    def sanity(
        self, images: int = 1, layers: Sequence[str] | None = None, *, depths: int = 4, seed: int = 0
    ) -> pd.DataFrame:
        """Return how gradient maps change as weights are made random, module by module from the output on.

        Args:
            images: how many, evenly spread.
            layers: their labels; the first, one in the middle and the last unless given.
            depths: steps from the output to the input.
            seed: of the random weights.

        Returns:
            A row an image, class, layer, method and step, with the rank correlation and SSIM of the maps before and
            after; `share` says how much of the network is random.
        """
        return checking.sanity(self, images, layers, depths, seed)

    def region(self, image: str | int, class_name: str = "") -> npt.NDArray[np.bool_]:
        """Return where a class is predicted, at the size in which the network saw the image."""
        number = self._image(image)
        return self._seen[number, self._class(number, class_name)].region

    def seen(self, number: int, class_name: str) -> Seen:
        """Return what was found of an image and a class."""
        return self._seen[number, class_name]

    def kept(
        self, number: int, class_name: str, layer: str, method: str
    ) -> tuple[npt.NDArray[np.float32], Placement | None] | None:
        """Return a map on its own grid and where that lies; None where there is none."""
        key = Key(number, class_name, layer, method)
        return (self._maps[key], self._places[key]) if key in self._maps else None

    def keep(self, key: Key, values: npt.NDArray[np.float32], place: Placement | None) -> None:
        """Keep a map on its own grid."""
        self._maps[key], self._places[key] = values, place

    def keep_prediction(self, number: int, class_name: str, region: npt.NDArray[np.bool_], capture: Capture) -> None:
        """Keep what is predicted in an image, and which pixel is explained."""
        chosen = capture.explained.chosen[0].ne(0)
        pixel = None
        if int(chosen.sum()) == 1 and tuple(chosen.shape) == capture.size:
            row, column = divmod(int(chosen.flatten().int().argmax()), chosen.shape[1])
            pixel = (row, column)
        self._seen[number, class_name] = Seen(region, pixel, capture.target, capture.explained)

    def _save(self, out: Path, key: Key, values: npt.NDArray[np.float32], *, pictured: bool) -> None:
        image = _file(self.images[key.image])
        stem = f"{_file(key.class_name)}-{_file(key.layer)}"
        maps = out / "maps" / image
        maps.mkdir(parents=True, exist_ok=True)
        np.save(maps / f"{_file(key.class_name)}-{key.method}-{_file(key.layer)}.npy", values)
        if not pictured:
            return
        overlays = out / "overlays" / image
        overlays.mkdir(parents=True, exist_ok=True)
        large = self.map(key.image, key.layer, key.method, key.class_name)
        photograph = self.prepared[key.image].photograph
        mask = self._true(key.image, key.class_name, own=True)
        drawn = overlay(photograph.picture, large, mask=mask, prediction=self.prediction(key.image, key.class_name))
        Image.fromarray(drawn).save(overlays / f"{stem}.png")

    def _true(self, number: int, class_name: str, *, own: bool = False) -> npt.NDArray[np.bool_] | None:
        one = self.prepared[number]
        if not self.masked:
            return None
        mask = one.photograph.mask if own and one.photograph.mask is not None else one.sample.mask
        names = list(self.network.classes)
        indices = [names.index(part) for part in class_name.split("+") if part in names]
        whole = names.index(class_name) if class_name in names else None
        region: npt.NDArray[np.bool_] = np.isin(mask, indices if whole is None else [whole])
        return region

    def _own(self, values: npt.NDArray[np.float32], number: int) -> npt.NDArray[np.float32]:
        """Bring values of the network's input to the photograph's own size."""
        one = self.prepared[number]
        if one.box is not None:
            top, left, height, width = one.box
            values = values[top : top + height, left : left + width]
        if values.shape == one.photograph.size:
            return values
        tensor = torch.from_numpy(np.ascontiguousarray(values))[None, None]
        large = F.interpolate(tensor, size=one.photograph.size, mode="bilinear", align_corners=False)
        own: npt.NDArray[np.float32] = large[0, 0].numpy()
        return own

    def _image(self, image: str | int) -> int:
        if isinstance(image, str):
            if image not in self.images:
                raise unknown("image", image, self.images)
            return self.images.index(image)
        if not -len(self.images) <= image < len(self.images):
            raise InputError(f"image {image} does not exist: there are {len(self.images)}, from 0")
        return image % len(self.images)

    def layer(self, layer: str | Layer | None = None) -> str:
        """Return a layer's label; the last one's unless given.

        Raises:
            InputError: there is no such layer.
        """
        name = self.layers[-1] if layer is None else layer.label if isinstance(layer, Layer) else layer
        if name not in self.layers:
            raise unknown("layer", name, self.layers)
        return name

    def _method(self, method: str | None) -> str:
        names = [one.name for one in self.methods]
        name = names[0] if method is None else method
        if name not in names:
            raise unknown("method", name, names)
        return name

    def _class(self, number: int, class_name: str) -> str:
        names = self.seen_in(number)
        if class_name and class_name not in names:
            raise unknown("class", class_name, names)
        return class_name or names[0]


def _spread(names: Sequence[str], most: int) -> list[str]:
    """Return at most so many, evenly spread, the first and the last among them."""
    if len(names) <= most:
        return list(names)
    return [names[round(i * (len(names) - 1) / (most - 1))] for i in range(most)]


def _file(name: str) -> str:
    """Return a name as part of a file's."""
    return "".join(sign if sign.isalnum() or sign in "._-+" else "_" for sign in name).strip(".") or "_"

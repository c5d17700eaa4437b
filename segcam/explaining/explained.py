"""Explained: what `explain` found: maps, their scores, pictures of them, a page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
import torch.nn.functional as F  # noqa: N812  (torch's own convention)
from PIL import Image

from segcam.checks.faithfulness import KINDS, curves
from segcam.checks.sanity import evenly
from segcam.classes import IGNORE, members
from segcam.draw import errors, overlay, strip
from segcam.errors import InputError, shown, unknown
from segcam.explaining import checking, page
from segcam.explaining.asked import listed
from segcam.explaining.kept import Key, Prepared, Seen
from segcam.files import user_path, write_whole
from segcam.methods import Method
from segcam.networks import OwnNetwork
from segcam.probe.choice import Choice
from segcam.probe.layers import INPUT, Layer
from segcam.scoring.grids import Placement, upsample

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from segcam.checks.faithfulness.curves import Kind
    from segcam.explaining.passes import Passes
    from segcam.probe.probe import Capture

SHOWN = 9
"""Panels of a strip unless layers are named: more would be too small."""


@dataclass(eq=False)
class Explained:
    """Maps of a network's layers for some photographs, and their scores.

    Attributes:
        passes: how the network runs on the photographs.
        choice: the layers that were probed, and why others were not.
        methods: that made the maps.
        scores: a row a map, a column a metric; `against` says against what.
        skipped: why a layer has no map of a method.
        levels: where several weights were given, what was explained of each, by the file's name; the last is this one,
            and `scores` has the rows of all.
    """

    passes: Passes
    choice: Choice
    methods: tuple[Method, ...]
    scores: pd.DataFrame = field(default_factory=pd.DataFrame)
    skipped: dict[tuple[str, str], str] = field(default_factory=dict)
    levels: dict[str, Explained] = field(default_factory=dict, repr=False)
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

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.prepared)

    def __getitem__(self, image: str | int) -> Explained:
        """Return one image alone, by its name or number: its maps, scores, pictures and checks."""
        number = self._image(image)
        passes = replace(self.passes, prepared=[self.prepared[number]], classes=[self.passes.classes[number]])
        rows = self.scores[self.scores["image"] == self.images[number]].reset_index(drop=True)
        found = Explained(passes, self.choice, self.methods, rows, self.skipped)
        for key in [key for key in self._maps if key.image == number]:
            found.keep(replace(key, image=0), self._maps[key], self._places[key])
        found.levels = {level: found if one is self else one[number] for level, one in self.levels.items()}
        found._seen |= {(0, name): seen for (of, name), seen in self._seen.items() if of == number}
        return found

    def __iter__(self) -> Iterator[Explained]:
        """Yield the images one by one."""
        return (self[number] for number in range(len(self)))

    def _repr_html_(self) -> str:
        """Show the first image's strip in a notebook."""
        return page.picture(self, 0, self._method(None), self._class(0, "")) if self._seen else repr(self)

    @property
    def network(self) -> OwnNetwork:
        """The network."""
        return self.passes.network

    @property
    def prepared(self) -> Sequence[Prepared]:
        """The photographs, and as the network sees them."""
        return self.passes.prepared

    @property
    def masked(self) -> bool:
        """Whether scores are against masks; else they are against what the network predicts."""
        return self.passes.masked

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
            layer: its label, 'Input' for methods that explain the input's pixels; the last unless given.
            method: its name; the first unless given.
            class_name: of the class; the image's first unless given.

        Raises:
            InputError: there is no such map; the message lists what there is.
        """
        key = self._key(image, layer, method, class_name)
        return self._own(self._upsampled(key), key.image)

    def maps(
        self, layer: str | Layer | None = None, method: str | None = None, class_name: str = ""
    ) -> list[npt.NDArray[np.float32]]:
        """Return a layer's maps, one an image, each at its photograph's own size; see `map`.

        Images in which the class is not explained are left out.
        """
        if class_name and class_name not in self.classes:
            raise unknown("class", class_name, self.classes)
        numbers = [i for i in range(len(self)) if not class_name or class_name in self.seen_in(i)]
        return [self.map(i, layer, method, class_name) for i in numbers]

    def grid(
        self, image: str | int = 0, layer: str | Layer | None = None, method: str | None = None, class_name: str = ""
    ) -> npt.NDArray[np.float32]:
        """Return a map on its layer's own grid; see `map`."""
        return self._maps[self._key(image, layer, method, class_name)]

    def prediction(self, image: str | int = 0, class_name: str = "") -> npt.NDArray[np.bool_]:
        """Return where a class is predicted, at the photograph's own size."""
        number = self._image(image)
        region = self.region(number, self._class(number, class_name))
        own: npt.NDArray[np.bool_] = self._own(region.astype(np.float32), number) > 0.5
        return own

    def region(self, number: int, class_name: str) -> npt.NDArray[np.bool_]:
        """Return where a class is predicted, at the size in which the network saw the photograph."""
        return self._seen[number, class_name].region

    def errors(self, image: str | int = 0, class_name: str = "") -> npt.NDArray[np.uint8] | None:
        """Return the photograph with hits, misses and false alarms of a class, `(rows, columns, 3)`.

        None without masks. See `segcam.draw.errors` for the colours.
        """
        number = self._image(image)
        of_class = self._class(number, class_name)
        true, photograph = self._true(number, of_class, own=True), self.prepared[number].photograph
        if true is None or photograph.mask is None:
            return None
        mask = np.where(photograph.mask == IGNORE, IGNORE, true.astype(np.uint8))
        prediction = self.prediction(number, of_class).astype(np.uint8)
        return errors(prediction, mask, photograph.picture, class_id=1)

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
        chosen = self._few(layers, SHOWN, name)
        part = one.part  # the padding is in no score
        maps: dict[str, Any] = {}
        places: dict[str, Placement | None] = {}
        for layer in chosen:
            key = Key(number, of_class, layer, name)
            if key not in self._maps:
                maps[layer] = self._why(key)
            elif one.box is None:
                maps[layer], places[layer] = self._maps[key], self._places[key]
            else:
                maps[layer] = self._upsampled(key)[part]
        label = next(method.label for method in self.methods if method.name == name)
        seen, true = self._seen[number, of_class], self._true(number, of_class)
        picture, pixel = one.photograph.picture, seen.pixel
        if one.sample.image.dtype == np.uint8:
            picture = one.sample.displayed()[part]
        if pixel is not None:
            inside = all(side.start <= at < side.stop for at, side in zip(pixel, part, strict=True))
            pixel = (pixel[0] - part[0].start, pixel[1] - part[1].start) if inside else None
        return strip(
            picture,
            maps,
            mask=None if true is None else true[part],
            prediction=seen.region[part],
            placements=places,
            size=(part[0].stop - part[0].start, part[1].stop - part[1].start),
            class_name=of_class,
            pixel=pixel,
            title=f"{label} for '{of_class}' in {one.photograph.name}",
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
            names = [_files(every) for every in (self.images, self.classes, (*self.layers, INPUT.label))]
            for key, values in self._maps.items():
                places = (self.images[key.image], key.class_name, key.layer)
                image, of_class, layer = (files[one] for files, one in zip(names, places, strict=True))
                maps = out / "maps" / image
                maps.mkdir(parents=True, exist_ok=True)
                np.save(maps / f"{of_class}-{key.method}-{layer}.npy", values)
                if key.method == name:
                    self._draw(out / "overlays" / image / f"{of_class}-{layer}.png", key)
            index = out / "index.html"
            write_whole(index, [page.html(self, name).encode()], "page")
        except OSError as error:
            raise InputError(f"{out} cannot be written ({error.strerror or error}): choose another folder") from error
        return index

    def faithfulness(
        self,
        images: int = 2,
        layers: Sequence[str] | None = None,
        *,
        methods: Sequence[str] | None = None,
        kinds: Sequence[Kind] = KINDS,
        steps: int = 5,
        imputation: str = "blur",
        context: bool = False,
    ) -> pd.DataFrame:
        """Take away, and bring back, the pixels that maps name first, and see what becomes of the prediction.

        Args:
            images: how many are examined, evenly spread.
            layers: the first, one in the middle and the last unless given.
            methods: of those that made maps; all unless given.
            kinds: 'deletion' and 'insertion'.
            steps: points of a curve beside the first.
            imputation: what stands for pixels that are gone, see `segcam.checks.faithfulness.filler`.
            context: whether only pixels outside the predicted region may go.

        Returns:
            A row a map and a kind of curve: `image`, `class`, `target`, `layer`, `method`, `kind`, and the areas under
            the curves of `probability`, `dice` and, with masks, `iou`. For 'deletion' lower ones, for 'insertion'
            higher ones speak for the map. The method 'random order' says what chance gives.

        Raises:
            InputError: a method, layer or imputation is unknown.
        """
        named = [self._method(one) for one in listed(methods) or [one.name for one in self.methods]]
        chosen = self._few(layers, 3)
        chosen = [INPUT.label, *chosen] if layers is None else chosen  # of methods that explain the input's pixels
        draw = partial(curves, steps=steps, imputation=imputation, context=context)
        return checking.faithfulness(self, named, chosen, images, listed(kinds), draw)

    def sanity(
        self,
        images: int = 1,
        layers: Sequence[str] | None = None,
        *,
        methods: Sequence[str] | None = None,
        depths: int = 4,
        seed: int = 0,
    ) -> pd.DataFrame:
        """Make weights random from the output to the input, and see how like the maps of the same pixels stay.

        Args:
            images: how many are examined, evenly spread.
            layers: the first, one in the middle and the last unless given.
            methods: gradient methods of those that made maps; all of these unless given.
            depths: how many steps from the output to the input, evenly spread.
            seed: of the weights.

        Returns:
            A row a map and a step: `image`, `class`, `target`, `layer`, `method`, `kind` ('cascading': all modules
            behind are random too; 'independent': one alone), `step`, `share` of the modules, `module`, `spearman` and
            `ssim`.

        Raises:
            InputError: a method is unknown or no gradient method, or a layer is unknown.
        """
        every = {one.name: one for one in self.methods if one.gradient is not None}
        named = list(every) if methods is None else [self._method(one) for one in listed(methods)]
        if other := [name for name in named if name not in every]:
            raise InputError(f"method {other[0]} does not look at weights: choose of {', '.join(every) or 'none'}")
        if not named:
            raise InputError("no gradient method made maps: name one in methods, where the network is explained")
        chosen = self._few(layers, 3)
        return checking.sanity(self, [every[name] for name in named], chosen, images=images, depths=depths, seed=seed)

    def diagnosis(self, method: str | None = None, *, images: int | None = None) -> pd.DataFrame:
        """Say why maps are blank or negative, and which class their layer speaks for instead.

        Args:
            method: a gradient method; the first unless given.
            images: how many are examined, evenly spread; all unless given.

        Returns:
            A row an image, class and layer: `blank`, `undefined`, `sign_balance`, `counter_share`, `counter_class`,
            `bias_alone` and `reason`, in words; see `segcam.checks.diagnosis.LayerDiagnosis`.

        Raises:
            InputError: the method is unknown or no gradient method.
        """
        name = self._method(method)
        return checking.diagnosis(self, next(one for one in self.methods if one.name == name), images)

    def attention(self, images: int | None = None) -> pd.DataFrame:
        """Measure where the heads of a transformer look.

        Args:
            images: how many are examined, evenly spread; all unless given.

        Returns:
            A row an image, class, block and head: `attention_background_ratio`, how much more than by chance
            the class's pixels look at the background, and `attention_distance`, in pixels of the network's input; see
            `segcam.metrics.attention`.

        Raises:
            InputError: the network has no attention that can be read; the message says why.
        """
        return checking.attention(self, images)

    def kept(
        self, number: int, class_name: str, layer: str, methods: Sequence[str]
    ) -> Iterator[tuple[str, npt.NDArray[np.float32], Placement | None]]:
        """Yield the methods that made a map of a layer, the map on its grid, and where that lies."""
        for method in methods:
            key = Key(number, class_name, layer, method)
            if key in self._maps:
                yield method, self._maps[key], self._places[key]

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
        self._seen[number, class_name] = Seen(region, pixel)

    def _draw(self, file: Path, key: Key) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        large = self.map(key.image, key.layer, key.method, key.class_name)
        photograph = self.prepared[key.image].photograph
        mask = self._true(key.image, key.class_name, own=True)
        drawn = overlay(photograph.picture, large, mask=mask, prediction=self.prediction(key.image, key.class_name))
        Image.fromarray(drawn).save(file)

    def _true(self, number: int, class_name: str, *, own: bool = False) -> npt.NDArray[np.bool_] | None:
        one = self.prepared[number]
        if not self.masked:
            return None
        mask = one.photograph.mask if own and one.photograph.mask is not None else one.sample.mask
        explained = self.passes.classes[number][self.seen_in(number).index(class_name)]
        region: npt.NDArray[np.bool_] = np.isin(mask, list(members(explained)))
        return region

    def _upsampled(self, key: Key) -> npt.NDArray[np.float32]:
        """Return a map at the size in which the network saw the photograph."""
        size, grid = self.prepared[key.image].size, torch.from_numpy(self._maps[key])
        upsampled: npt.NDArray[np.float32] = upsample(grid[None, None], size, self._places[key])[0, 0].numpy()
        return upsampled

    def _own(self, values: npt.NDArray[np.float32], number: int) -> npt.NDArray[np.float32]:
        """Bring values of the network's input to the photograph's own size."""
        one = self.prepared[number]
        values = values[one.part]
        if values.shape == one.photograph.size:
            return values
        tensor = torch.from_numpy(np.ascontiguousarray(values))[None, None]
        large = F.interpolate(tensor, size=one.photograph.size, mode="bilinear", align_corners=False)
        own: npt.NDArray[np.float32] = large[0, 0].numpy()
        return own

    def _key(self, image: str | int, layer: str | Layer | None, method: str | None, class_name: str) -> Key:
        """Return which map is meant.

        Raises:
            InputError: there is none.
        """
        number, name = self._image(image), self._method(method)
        place = self._layer(self._last(name) if layer is None else layer)
        key = Key(number, self._class(number, class_name), place, name)
        if key not in self._maps:
            raise InputError(f"{self.images[number]} has no map of {name} at layer '{place}': {self._why(key)}")
        return key

    def _why(self, key: Key) -> str:
        """Return why there is no map."""
        if (key.layer, key.method) in self.skipped:
            return self.skipped[key.layer, key.method]
        method = next(one for one in self.methods if one.name == key.method)
        of_input = key.layer == INPUT.label
        if of_input != (method.scope == "input") and method.control is None:
            return f"it explains layers, and not '{key.layer}'" if of_input else f"it explains '{INPUT.label}' alone"
        return "methods with passes of their own explain a few images alone: raise own_pass_images"

    def _image(self, image: str | int) -> int:
        if isinstance(image, str):
            if image not in self.images:
                raise unknown("image", image, self.images)
            return self.images.index(image)
        if not isinstance(image, (int, np.integer)) or isinstance(image, bool):
            raise InputError(f"image is {shown(image)}: name one, or give its number; there are {len(self.images)}")
        if not -len(self.images) <= image < len(self.images):
            raise InputError(f"image {image} does not exist: there are {len(self.images)}, from 0")
        return image % len(self.images)

    def _layer(self, layer: str | Layer | None) -> str:
        name = self.layers[-1] if layer is None else layer.label if isinstance(layer, Layer) else layer
        known = (*self.layers, *((INPUT.label,) if self._of_input else ()))
        if name not in known:
            raise unknown("layer", name, known)
        return name

    @property
    def _of_input(self) -> bool:
        """Whether a method explains the input's pixels, in place of a layer."""
        return any(method.scope == "input" for method in self.methods)

    def _last(self, method: str) -> str:
        """Return the last of the places that a method explains."""
        scope = next(one.scope for one in self.methods if one.name == method)
        return INPUT.label if scope == "input" else self.layers[-1]

    def _few(self, layers: Sequence[str] | None, most: int, method: str | None = None) -> list[str]:
        """Return the layers that are named, or a few, evenly spread; of a method of the input's pixels these."""
        if layers is None and method is not None and self._last(method) == INPUT.label:
            return [INPUT.label]
        if layers is None:
            return [self.layers[i] for i in evenly(len(self.layers), most)]
        return [self._layer(layer) for layer in listed(layers)]

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


def _files(names: Sequence[str]) -> dict[str, str]:
    """Return each name as part of a file's, no two alike, also where a system does not tell cases apart.

    >>> _files(["a b", "a_b", "A/b"])
    {'a b': 'a_b', 'a_b': 'a_b~2', 'A/b': 'A_b~3'}
    """
    found: dict[str, str] = {}
    taken: list[str] = []
    for name in names:
        plain = "".join(sign if sign.isalnum() or sign in "._-+" else "_" for sign in name).strip(".") or "_"
        taken.append(plain.casefold())
        found[name] = plain if taken.count(taken[-1]) == 1 else f"{plain}~{taken.count(taken[-1])}"
    return found

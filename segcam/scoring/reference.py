"""What maps are measured against: a batch's masks and edges, and the same seen from one layer's grid."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from segcam.arrays import booleans, real, whole
from segcam.classes import Classes
from segcam.errors import InputError, shown
from segcam.precision import without_autocast
from segcam.samples import Batch
from segcam.scoring.grids import Grid, Placement, edge_strength, pull_back, to_grid, upsampling_matrix

T = TypeVar("T")

View = tuple[Grid, Placement | None]
"""A grid, and where it lies on the images; None where it spans them."""

Box = tuple[int, int, int, int]
"""The first row, the row behind the last, and the same of the columns."""


WIDTH = 0.25
"""Standard deviation of a Gaussian in the middle of the image, as a share of its side: photographers centre."""


@dataclass(frozen=True, eq=False)
class Scenery:
    """The images and masks of one batch, whatever the layer. Build it once a batch and ask `on` for each grid.

    What is derived from it is computed when first asked for, in the luminance's dtype and on its device, and kept as
    long as the scenery lives.

    Attributes:
        luminance: of the images, `(b, H, W)`, floating point.
        foreground: pixels of the class.
        background: pixels of the other classes; the trimap's border belongs to neither side.
        ids: the images' names, `b` of them.
        seed: of the controls that draw random numbers.
        valid: where the pictures are and not the padding around them, a rectangle an image; None is everywhere. Maps
            are measured as if the rest of the canvas were not there.
    """

    luminance: Float[Tensor, "b H W"]
    foreground: Bool[Tensor, "b H W"]
    background: Bool[Tensor, "b H W"]
    ids: tuple[str, ...]
    seed: int = 0
    valid: Bool[Tensor, "b H W"] | None = None
    _derived: dict[tuple[str, View | None], Any] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        luminance = real(self.luminance, "luminances")
        sides = {
            name: booleans(getattr(self, name), name).to(luminance.device) for name in ("foreground", "background")
        }
        for name, values in {"luminance": luminance, "ids": tuple(map(str, self.ids)), **sides}.items():
            object.__setattr__(self, name, values)
        shapes = {tuple(t.shape) for t in (self.luminance, self.foreground, self.background)}
        if len(shapes) > 1 or self.luminance.ndim != 3 or len(self.ids) != len(self.luminance):
            raise InputError(
                f"luminance, masks and ids differ in shape: {sorted(shapes)}, {len(self.ids)} ids; (images, rows, "
                "columns) and a name an image are needed"
            )
        if 0 in self.luminance.shape:
            raise InputError(f"images are {tuple(self.luminance.shape)}: there is no pixel to measure against")
        if not bool(self.luminance.isfinite().all()):
            raise InputError("the images' luminance holds NaN or infinity: give finite values")
        if bool((self.foreground & self.background).any()):
            raise InputError("pixels are both foreground and background: each belongs to one side, or to neither")
        if self.valid is not None:
            valid = booleans(self.valid, "valid regions").to(luminance.device)
            if valid.shape != luminance.shape:
                raise InputError(f"valid regions are {tuple(valid.shape)}: {tuple(luminance.shape)} is needed")
            object.__setattr__(self, "valid", None if bool(valid.all()) else valid)

    @classmethod
    def of(cls, batch: Batch, class_id: Classes | Sequence[Classes] = 1, seed: int = 0) -> Scenery:
        """Take a class of a batch as the foreground, all of a set, or each image's own; luminance is float32."""
        if not isinstance(batch, Batch):
            raise InputError(f"a Batch is needed, not a {type(batch).__name__}: Batch.of(samples) makes one")
        sides = batch.foreground(class_id), batch.background(class_id)
        return cls(batch.luminance(), *sides, batch.ids, seed, batch.valid)

    def on(self, grid: Grid, placement: Placement | None = None) -> Reference:
        """Return what maps on `grid`, rows and columns, are measured against.

        Args:
            grid: rows and columns.
            placement: where the grid lies on the images, `Capture.placements` of a layer; None where it spans them.

        Raises:
            InputError: those are not two numbers from 1.
        """
        given = grid.tolist() if isinstance(grid, (Tensor, np.ndarray)) else grid
        sides = tuple(whole(side, "a side of the grid") for side in given) if isinstance(given, Iterable) else ()
        if len(sides) != 2 or min(sides) < 1:
            raise InputError(f"the grid is {shown(grid)}: rows and columns are needed, such as maps.shape[2:]")
        if not (placement is None or isinstance(placement, Placement)):
            raise InputError(f"a Placement is needed, not a {type(placement).__name__}: take Capture.placements[layer]")
        return Reference(self, (sides[0], sides[1]), placement)

    @property
    def size(self) -> Grid:
        """Rows and columns of the images."""
        return self.luminance.shape[1], self.luminance.shape[2]

    @property
    def edges(self) -> Float[Tensor, "b H W"]:
        """The images' edge strength at input resolution."""
        return self.once("edges", lambda: edge_strength(self.luminance))

    @property
    def sides(self) -> Bool[Tensor, "b H W"]:
        """The pixels of either side, all but the border."""
        return self.once("sides", lambda: self.foreground | self.background)

    @property
    def foreground_pixels(self) -> Float[Tensor, " b"]:
        """The number of foreground pixels."""
        return self.once("foreground_pixels", lambda: self.foreground.sum((1, 2)).to(self.luminance.dtype))

    @property
    def background_pixels(self) -> Float[Tensor, " b"]:
        """The number of background pixels."""
        return self.once("background_pixels", lambda: self.background.sum((1, 2)).to(self.luminance.dtype))

    @property
    def boxes(self) -> list[Box]:
        """The rectangle of each image that is valid.

        Raises:
            InputError: a region is empty or no rectangle; the message names the image.
        """
        return self.once("boxes", self._boxes)

    def _boxes(self) -> list[Box]:
        rows, columns = self.size
        if self.valid is None:
            return [(0, rows, 0, columns)] * len(self.ids)
        boxes = []
        for name, region in zip(self.ids, self.valid, strict=True):
            box = _box(region)
            area = (box[1] - box[0]) * (box[3] - box[2])
            if area == 0 or int(region.sum()) != area:
                raise InputError(
                    f"the valid region of '{name}' is {'empty' if area == 0 else 'no rectangle'}: it marks what "
                    "padding has left of the canvas; other pixels that do not count belong to neither side"
                )
            boxes.append(box)
        return boxes

    def cropped(self, images: tuple[int, ...], box: Box) -> Scenery:
        """Return some of the images, cut to a box, without padding; made once."""
        top, bottom, left, right = box

        def make() -> Scenery:
            cut = (list(images), slice(top, bottom), slice(left, right))
            names = tuple(self.ids[i] for i in images)
            return Scenery(self.luminance[cut], self.foreground[cut], self.background[cut], names, self.seed)

        return self.once(f"cropped {images} {box}", make)

    def once(self, name: str, make: Callable[[], T], view: View | None = None) -> T:
        """Return `make()`, called the first time that `name` (on `view`) is asked for and kept from then on."""
        key = (name, view)
        if key not in self._derived:
            with without_autocast():  # what is kept is kept for callers without one, too
                self._derived[key] = make()
        value: T = self._derived[key]
        return value


@dataclass(frozen=True, eq=False)
class Part:
    """Images of a batch with the same valid rectangle, and the same cut to it.

    Attributes:
        images: their places in the batch.
        rows: the rows of the grid whose centres lie in it.
        columns: the columns.
        reference: what the cut maps are measured against.
        box: the rectangle, in pixels of the whole images.
    """

    images: tuple[int, ...]
    rows: slice
    columns: slice
    reference: Reference
    box: Box


@dataclass(frozen=True, eq=False)
class Reference:
    """A scenery seen from one layer's grid: what maps on this grid are measured against.

    It is a view and costs nothing; all it derives is kept in the scenery, so two references on one grid share it.
    `U` below stands for bilinear upsampling from the grid to the images.

    Attributes:
        scenery: the batch's images and masks at input resolution.
        grid: rows and columns of the layer's output.
        placement: where the grid lies on the images; None where it spans them.
        maps: the maps whose first steps are kept, see `sharing`; None to keep none.
    """

    scenery: Scenery
    grid: Grid
    placement: Placement | None = None
    maps: Tensor | None = field(default=None, repr=False)
    _steps: dict[str, Any] = field(default_factory=dict, init=False, repr=False)

    @property
    def size(self) -> Grid:
        """Rows and columns of the images."""
        return self.scenery.size

    @property
    def ids(self) -> tuple[str, ...]:
        """The images' names."""
        return self.scenery.ids

    @property
    def seed(self) -> int:
        """The seed of the controls that draw random numbers."""
        return self.scenery.seed

    @property
    def dtype(self) -> torch.dtype:
        """The dtype in which is measured."""
        return self.scenery.luminance.dtype

    @property
    def device(self) -> torch.device:
        """The device on which is measured."""
        return self.scenery.luminance.device

    @property
    def foreground(self) -> Float[Tensor, "b h w"]:
        """The foreground pulled back: `(L * foreground).sum()` is the sum of the upsampled L over the foreground."""
        return self.once("foreground", lambda: self.pull(self.scenery.foreground))

    @property
    def background(self) -> Float[Tensor, "b h w"]:
        """The background pulled back; see `foreground`."""
        return self.once("background", lambda: self.pull(self.scenery.background))

    @property
    def foreground_share(self) -> Float[Tensor, "b h w"]:
        """The share of foreground in the area of each cell, 0..1."""
        return self.once("foreground_share", lambda: self.pool(self.scenery.foreground))

    @property
    def background_share(self) -> Float[Tensor, "b h w"]:
        """The share of background in the area of each cell, 0..1."""
        return self.once("background_share", lambda: self.pool(self.scenery.background))

    @property
    def upsampling(self) -> tuple[Float[Tensor, "H h"], Float[Tensor, "W w"]]:
        """`Uy` and `Ux`: the upsampled L is `Uy @ L @ Ux.T`."""
        (rows, columns), (h, w) = self.size, self.grid
        one, other = (None, None) if self.placement is None else (self.placement.axis(0), self.placement.axis(1))
        down = upsampling_matrix(h, rows, self.device, self.dtype, one)
        return down, upsampling_matrix(w, columns, self.device, self.dtype, other)

    @property
    def pixelwise(self) -> bool:
        """Whether each cell is a pixel, so that nothing need be upsampled."""
        return self.grid == self.size and self.placement is None

    @property
    def parts(self) -> tuple[Part, ...] | None:
        """The images by what of them is valid, where that is not all: where canvases are padded, or cells reach less.

        Maps on them are measured part by part, on the cells that lie in the valid rectangle, as if the canvas ended
        there; None where everything is valid.
        """
        return self.once("parts", self._parts)

    def _parts(self) -> tuple[Part, ...] | None:
        place = self.placement or Placement.stretched(self.grid, self.size)
        spans = self.placement is None or place.spans(self.grid, self.size)
        if self.scenery.valid is None and spans:
            return None
        seen = (0, self.size[0], 0, self.size[1]) if spans else _box(place.covered(self.grid, self.size))
        groups: dict[Box, list[int]] = {}
        for i, box in enumerate(self.scenery.boxes):
            cut = (max(box[0], seen[0]), min(box[1], seen[1]), max(box[2], seen[2]), min(box[3], seen[3]))
            if cut[0] >= cut[1] or cut[2] >= cut[3]:
                raise InputError(f"no cell of the grid lies on the valid region of '{self.ids[i]}'")
            groups.setdefault(cut, []).append(i)
        return tuple(self._part(tuple(images), box, place) for box, images in groups.items())

    def _part(self, images: tuple[int, ...], box: Box, place: Placement) -> Part:
        """Cut some images, and the cells on them, to a box."""
        slices, origins = [], []
        for n, (first, end) in enumerate((box[:2], box[2:])):
            origin, step = place.axis(n)
            cells = torch.arange(self.grid[n], dtype=torch.float64)
            inside = (
                (cells * step + origin > first - 0.5 - 1e-9) & (cells * step + origin < end - 0.5 + 1e-9)
            ).nonzero()
            nearest = min(max(round(((first + end - 1) / 2 - origin) / step), 0), self.grid[n] - 1)
            low, high = (int(inside[0]), int(inside[-1]) + 1) if len(inside) else (nearest, nearest + 1)
            slices.append(slice(low, high))
            origins.append(origin + step * low - first)
        grid = (slices[0].stop - slices[0].start, slices[1].stop - slices[1].start)
        cut = self.scenery.cropped(images, box)
        moved = Placement((origins[0], origins[1]), place.step)
        on_cut = cut.on(grid, None if moved.is_stretched(grid, cut.size) else moved)
        return Part(images, slices[0], slices[1], on_cut, box)

    @property
    def everything(self) -> Float[Tensor, "h w"]:
        """`U^T 1`: how much each cell weighs in the sum of the upsampled map."""

        def make() -> Float[Tensor, "h w"]:
            down, across = self.upsampling
            return torch.outer(down.sum(0), across.sum(0))

        return self.once("everything", make)

    @property
    def gram(self) -> tuple[Float[Tensor, "h h"], Float[Tensor, "w w"]]:
        """`Uy^T Uy` and `Ux^T Ux`: the sum of squares of the upsampled L is `(L * (Gy @ L @ Gx)).sum()`."""

        def make() -> tuple[Tensor, Tensor]:
            down, across = self.upsampling
            return down.T @ down, across.T @ across

        return self.once("gram", make)

    @property
    def foreground_pixels(self) -> Float[Tensor, " b"]:
        """The number of foreground pixels of the images."""
        return self.scenery.foreground_pixels

    @property
    def background_pixels(self) -> Float[Tensor, " b"]:
        """The number of background pixels of the images."""
        return self.scenery.background_pixels

    @property
    def area(self) -> Float[Tensor, " b"]:
        """The foreground's share of the pixels on either side, `|F| / (|F| + |B|)`; NaN where there are none."""
        return self.foreground_pixels / (self.foreground_pixels + self.background_pixels)

    @property
    def one_sided(self) -> Bool[Tensor, " b"]:
        """Where foreground or background is empty, and a comparison of the two undefined."""
        return (self.foreground_pixels == 0) | (self.background_pixels == 0)

    @property
    def edges(self) -> Float[Tensor, "b h w"]:
        """The images' edge strength, averaged over each cell."""
        return self.once("edges", lambda: self.pool(self.scenery.edges))

    @property
    def edges_full(self) -> Float[Tensor, "b h w"]:
        """The edge strength at input resolution less its mean, pulled back: `<U L, E - mean E> = <L, edges_full>`."""
        return self.once("edges_full", lambda: self.pull(self._edges_centred))

    @property
    def edges_full_variance(self) -> Float[Tensor, " b"]:
        """The variance (over all pixels, dividing by their number) of the edge strength at input resolution."""
        return self.scenery.once("edges_variance", lambda: self._edges_centred.square().mean((1, 2)))

    @property
    def edge_noise(self) -> Float[Tensor, " b"]:
        """The standard deviation below which edge strength is constant up to rounding: 8 eps x top luminance."""
        top = self.scenery.once("top", lambda: self.scenery.luminance.abs().amax((1, 2)))
        return 8 * torch.finfo(self.dtype).eps * top

    def centre(self, width: float = WIDTH) -> Float[Tensor, "1 h w"]:
        """Return a Gaussian in the middle of the images, averaged over each cell; `width` is a share of each side."""

        def make() -> Float[Tensor, "1 h w"]:
            sides = []
            for side in self.size:
                at = (torch.arange(side, dtype=torch.float64) + 0.5) / side - 0.5
                sides.append(torch.exp(-at.square() / (2 * width**2)))
            return self.pool(torch.outer(*sides)[None].to(self.device))

        return self.once(f"centre {width}", make)

    def once(self, name: str, make: Callable[[], T]) -> T:
        """Return `make()`, called the first time that `name` is asked for on this grid and kept in the scenery."""
        return self.scenery.once(name, make, (self.grid, self.placement))

    def sharing(self, maps: Float[Tensor, "b m h w"]) -> Reference:
        """Return a copy on which several metrics of these very maps share work; see `shared`."""
        return Reference(self.scenery, self.grid, self.placement, maps)

    def shared(self, name: str, maps: Float[Tensor, "b m h w"], make: Callable[[], T]) -> T:
        """Return `make()`, a step that several metrics of the maps begin with; do not write into what it returns.

        On a reference made by `sharing(maps)` it is called once and kept as long as that reference; on any other, or
        for other maps, it is called each time.
        """
        if self.maps is not maps:
            return make()
        if name not in self._steps:
            self._steps[name] = make()
        step: T = self._steps[name]
        return step

    def pull(self, fields: Float[Tensor, "b H W"] | Bool[Tensor, "b H W"]) -> Float[Tensor, "b h w"]:
        """Pull fields at input resolution back onto the grid by transposed bilinear upsampling."""
        return pull_back(fields[:, None].to(self.dtype), self.grid, self.placement)[:, 0]

    def pool(self, fields: Float[Tensor, "b H W"] | Bool[Tensor, "b H W"]) -> Float[Tensor, "b h w"]:
        """Average fields at input resolution over the area of each cell."""
        return to_grid(fields[:, None].to(self.dtype), self.grid, self.placement)[:, 0]

    @property
    def _edges_centred(self) -> Float[Tensor, "b H W"]:
        edges = self.scenery.edges
        return self.scenery.once("edges_centred", lambda: edges - edges.mean((1, 2), keepdim=True))


def _box(pixels: Bool[Tensor, "H W"]) -> Box:
    """Return the smallest box around the pixels; an empty one where there are none."""
    rows, columns = pixels.any(1).nonzero().flatten(), pixels.any(0).nonzero().flatten()
    if not len(rows) or not len(columns):
        return (0, 0, 0, 0)
    return (int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1)


def pieces(
    maps: Float[Tensor, "b m h w"], reference: Reference, *fields: Tensor
) -> Iterator[tuple[list[int], Float[Tensor, "n m h w"], Reference, list[Tensor]]]:
    """Yield what maps are measured on: all images at once, or those of each valid rectangle, see `Reference.parts`.

    Args:
        maps: of the whole batch.
        reference: of the whole batch.
        fields: of the images' pixels, `(b, ..., H, W)`, which are cut alike.

    Yields:
        Images' places in the batch, their maps, what these are measured against, and their fields.
    """
    if reference.parts is None:
        yield list(range(len(reference.ids))), maps, reference, list(fields)
        return
    for part in reference.parts:
        images = list(part.images)
        top, bottom, left, right = part.box
        cut = [field[images][..., top:bottom, left:right] for field in fields]
        yield images, maps[images][:, :, part.rows, part.columns], part.reference, cut


def by_part(
    maps: Float[Tensor, "b m h w"],
    reference: Reference,
    compute: Callable[[Float[Tensor, "b m h w"], Reference], Float[Tensor, "b m"]],
) -> Float[Tensor, "b m"]:
    """Measure maps part by part, see `Reference.parts`, or at once where everything is valid."""
    if reference.parts is None:
        return compute(maps, reference)
    values = torch.full(maps.shape[:2], torch.nan, dtype=reference.dtype, device=maps.device)
    for images, cut, part, _ in pieces(maps, reference):
        values[images] = compute(cut, part).to(values.dtype)
    return values

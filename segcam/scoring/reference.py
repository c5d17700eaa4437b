"""What maps are measured against: a batch's masks and edges, and the same seen from one layer's grid."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from segcam.arrays import booleans, real, whole
from segcam.errors import InputError, shown
from segcam.precision import without_autocast
from segcam.samples import Batch
from segcam.scoring.grids import Grid, edge_strength, pull_back, to_grid, upsampling_matrix

T = TypeVar("T")


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
    """

    luminance: Float[Tensor, "b H W"]
    foreground: Bool[Tensor, "b H W"]
    background: Bool[Tensor, "b H W"]
    ids: tuple[str, ...]
    seed: int = 0
    _derived: dict[tuple[str, Grid | None], Any] = field(default_factory=dict, init=False, repr=False)

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

    @classmethod
    def of(cls, batch: Batch, class_id: int = 1, seed: int = 0) -> Scenery:
        """Take the class `class_id` of a batch as the foreground; luminance is float32."""
        if not isinstance(batch, Batch):
            raise InputError(f"a Batch is needed, not a {type(batch).__name__}: Batch.of(samples) makes one")
        return cls(batch.luminance(), batch.foreground(class_id), batch.background(class_id), batch.ids, seed)

    def on(self, grid: Grid) -> Reference:
        """Return what maps on `grid`, rows and columns, are measured against.

        Raises:
            InputError: those are not two numbers from 1.
        """
        sides = tuple(whole(side, "a side of the grid") for side in grid) if isinstance(grid, Iterable) else ()
        if len(sides) != 2 or min(sides) < 1:
            raise InputError(f"the grid is {shown(grid)}: rows and columns are needed, such as maps.shape[2:]")
        return Reference(self, (sides[0], sides[1]))

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

    def once(self, name: str, make: Callable[[], T], grid: Grid | None = None) -> T:
        """Return `make()`, called the first time that `name` (on `grid`) is asked for and kept from then on."""
        key = (name, grid)
        if key not in self._derived:
            with without_autocast():  # what is kept is kept for callers without one, too
                self._derived[key] = make()
        value: T = self._derived[key]
        return value


@dataclass(frozen=True, eq=False)
class Reference:
    """A scenery seen from one layer's grid: what maps on this grid are measured against.

    It is a view and costs nothing; all it derives is kept in the scenery, so two references on one grid share it.
    `U` below stands for bilinear upsampling from the grid to the images.

    Attributes:
        scenery: the batch's images and masks at input resolution.
        grid: rows and columns of the layer's output.
        maps: the maps whose first steps are kept, see `sharing`; None to keep none.
    """

    scenery: Scenery
    grid: Grid
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
        down = upsampling_matrix(h, rows, self.device, self.dtype)
        return down, upsampling_matrix(w, columns, self.device, self.dtype)

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

    def once(self, name: str, make: Callable[[], T]) -> T:
        """Return `make()`, called the first time that `name` is asked for on this grid and kept in the scenery."""
        return self.scenery.once(name, make, self.grid)

    def sharing(self, maps: Float[Tensor, "b m h w"]) -> Reference:
        """Return a copy on which several metrics of these very maps share work; see `shared`."""
        return Reference(self.scenery, self.grid, maps)

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
        return pull_back(fields[:, None].to(self.dtype), self.grid)[:, 0]

    def pool(self, fields: Float[Tensor, "b H W"] | Bool[Tensor, "b H W"]) -> Float[Tensor, "b h w"]:
        """Average fields at input resolution over the area of each cell."""
        return to_grid(fields[:, None].to(self.dtype), self.grid)[:, 0]

    @property
    def _edges_centred(self) -> Float[Tensor, "b H W"]:
        edges = self.scenery.edges
        return self.scenery.once("edges_centred", lambda: edges - edges.mean((1, 2), keepdim=True))

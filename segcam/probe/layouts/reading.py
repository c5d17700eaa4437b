"""Reading layouts: from the shapes of one pass where they leave no doubt, else with a scan; or a reason why not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from torch import nn

from segcam.errors import ProbeError
from segcam.probe.layers import FORMS, Layer
from segcam.probe.layouts import grids
from segcam.probe.layouts.cells import in_rows
from segcam.probe.layouts.counts import Counts, NoLayoutError, Place, cure
from segcam.probe.layouts.grids import Fit, fit
from segcam.probe.layouts.layout import Layout
from segcam.probe.layouts.places import Axis, merged, nowhere
from segcam.probe.layouts.scan import Scan, Shape, channels_of
from segcam.probe.layouts.swin import block_of, windows_of
from segcam.probe.network.modules import Modules
from segcam.scoring.grids import Grid

REGROUPING: Mapping[str, tuple[str, ...]] = {
    "MobileViTV2Layer": ("transformer", "layernorm"),  # transformers
    "MobileVitV2Block": ("transformer", "norm"),  # timm
    "Hiera": ("blocks",),  # timm; transformers:
    "HieraEncoder": ("stages",),
}
"""Classes, and those of their parts in which cells are regrouped: by patches `(b, c, cells of a patch, patches)`, which
looks like feature maps, or tokens by units, which are as many as if they lay row by row."""

CHOOSE = "choose another layer, or say that they are feature maps with form='NCHW'"

_AXES = {"NLC": 1, "LNC": 0, "NCL": 2}


@dataclass
class Reader:
    """Decides on the layouts of a network's layers.

    Args:
        modules: the network's, by path.
        size: height and width of the input, in pixels.
        batch: the number of images.
        look: makes the scan, which is asked for once and only where it is needed.
    """

    modules: Modules
    size: Grid
    batch: int
    look: Callable[[], Scan]
    _seen: Scan | None = field(default=None, init=False)
    _failed: ProbeError | None = field(default=None, init=False)

    @property
    def seen(self) -> Scan:
        """The scan."""
        if self._failed is not None:
            raise self._failed
        if self._seen is None:
            try:
                self._seen = self.look()
            except ProbeError as error:
                self._failed = error
                raise
        return self._seen

    def layout(self, layer: Layer, shape: Shape) -> Layout:
        """Return a layer's layout.

        Raises:
            NoLayoutError: there is none, or more than one.
        """
        block = block_of(self.modules, layer.module)
        if layer.grid is not None and (block is not None or len(shape) == 4):
            raise NoLayoutError(f"has no grid {layer.grid}: it gave {shape}, feature maps of one grid: leave grid out")
        if block is not None:
            return self._in_windows(shape, block)
        regrouping = self._regrouping(layer)
        if regrouping and not layer.form:
            raise NoLayoutError(
                f"gave {shape} inside {regrouping}, which regroups cells by patches: choose a layer outside it"
            )
        layout = self._of_maps(layer, shape) if len(shape) == 4 else self._of_tokens(layer, shape)
        self._check_order(layer, shape, layout)
        return layout

    def _check_order(self, layer: Layer, shape: Shape, layout: Layout) -> None:
        """Refuse cells that do not lie row by row, where the scan tells."""
        if layer.form or (self._seen is None and (layout.form != "NHWC" or not self._mixed)):
            return
        if len(shape) == 4:
            self._check_axis(layer, shape, 3 if layout.form == "NCHW" else 1)
        calls = self.seen.cells.get(layer.label, [])
        cells = calls[layer.call or 0] if len(calls) > (layer.call or 0) else None
        if cells is not None and cells.shape[layout.axis] == 1 and not in_rows(layout.maps(cells)[0, 0]):
            raise NoLayoutError(
                f"gave {shape}, whose cells do not lie row by row (windows, columns or a shifted grid): choose a layer "
                "outside of them, where they do"
            )

    def lies_nowhere(self, layer: Layer, shape: Shape) -> bool:
        """Tell whether a layer's tokens, in whichever order, are known to lie nowhere on the image."""
        axes = (self._axes(layer, shape) or ())[:2]
        return any(map(nowhere, axes)) and not any(map(merged, axes))

    def _axes(self, layer: Layer, shape: Shape) -> tuple[Axis, ...] | None:
        """Return what the axes of a layer's output run over, where the scan tells."""
        calls = self.seen.places.get(layer.label, [])
        axes = calls[layer.call or 0] if len(calls) > (layer.call or 0) else None
        return None if axes is None or len(axes) != len(shape) else axes

    def _check_axis(self, layer: Layer, shape: Shape, axis: int) -> None:
        """Refuse an axis that would hold cells, and runs over none or over a whole grid's, unless it is said how."""
        if layer.form or layer.stride:
            return
        axes = self._axes(layer, shape)
        if axes is None:
            return
        if nowhere(axes[axis]):
            form = "NLC" if len(shape) == 3 else "NCHW"
            raise NoLayoutError(
                f"gave {shape}: the {shape[axis]} of dimension {axis} lie nowhere on the image, as queries and prompts "
                f"do: choose another layer, or where they do lie on it say how, Layer(..., form='{form}')"
            )
        if len(shape) == 4 and merged(axes[axis]):
            raise NoLayoutError(
                f"gave {shape}: dimension {axis} holds all cells of a grid, and tokens need be (b, n, c): choose "
                "another layer"
            )

    def _regrouping(self, layer: Layer) -> str:
        """Return the class of the module in whose regrouping part a layer lies, or ''."""
        parts = layer.module.split(".")
        for end in range(len(parts)):
            kind = type(self.modules[".".join(parts[:end])]).__name__
            if parts[end] in REGROUPING.get(kind, ()):
                return kind
        return ""

    # Feature maps

    def _of_maps(self, layer: Layer, shape: Shape) -> Layout:
        if shape[0] % self.batch:
            raise NoLayoutError(f"gave {shape} for {self.batch} images: it is of no image")
        if shape[0] != self.batch:
            raise self._folded(shape)
        if layer.form not in ("", "NCHW", "NHWC"):
            raise NoLayoutError(f"gave {shape}, four dimensions: form '{layer.form}' has three")
        first, last = (shape[2], shape[3]), (shape[1], shape[2])
        known = layer.form or {"first": "NCHW", "last": "NHWC"}.get(channels_of(self._module(layer)), "")
        if layer.form or (known and fit(first if known == "NCHW" else last, self.size)):
            return Layout("NCHW", first) if known == "NCHW" else Layout("NHWC", last)
        if known:
            grid = first if known == "NCHW" else last
            self._check_axis(layer, shape, 2)  # which holds cells either way
            if grid not in self.seen.pooled:
                raise self._no_grid(layer, shape, grid)
            return Layout(known, grid)  # type: ignore[arg-type]
        form = ""
        fits = {"NCHW": self._fit(layer, first), "NHWC": self._fit(layer, last)}
        module = self._module(layer)
        weights = isinstance(module, (nn.Dropout, nn.Softmax))
        suspect = weights or isinstance(module, nn.Identity) or (shape[2] == shape[3] and self._mixed)
        if suspect or max(fits.values()) <= Fit.UNEVEN:
            self._refuse_attention(shape, square=weights)
        if self._mixed:
            self._check_axis(layer, shape, 2)
        if fits["NCHW"] <= fits["NHWC"] or self._mixed:
            form = {"first": "NCHW", "last": "NHWC"}.get(self.seen.axes.get(layer.label, ""), "")
            if form and not fits[form] and (first if form == "NCHW" else last) not in self.seen.pooled:
                raise self._no_grid(layer, shape, first if form == "NCHW" else last)
            if not form and fits["NCHW"] == fits["NHWC"]:
                form = self._by_others(layer, shape, bool(fits["NCHW"]))
        form = form or max(fits, key=lambda name: fits[name])
        return Layout("NCHW", first) if form == "NCHW" else Layout("NHWC", last)

    @property
    def _mixed(self) -> bool:
        """Whether channels may come last, which the scan tells; convolutional networks are spared it."""
        if not self._projects:
            return False
        try:
            return self.seen is not None
        except ProbeError:  # of another number of images it does not run
            return False

    @cached_property
    def _projects(self) -> bool:
        return any(isinstance(module, (nn.Linear, nn.LayerNorm)) for module in self.modules.values())

    def _fit(self, layer: Layer, grid: Grid) -> int:
        if layer.stride and grid in grids.of_stride(layer.stride, self.size):
            return Fit.EXACT + 1
        return int(fit(grid, self.size))

    def _by_others(self, layer: Layer, shape: Shape, both: bool) -> str:
        """Decide by the layers whose class tells, where the shape fits both ways or neither."""
        inner, grid = shape[1:], (shape[2], shape[3])
        first, last = inner in self.seen.first, inner in self.seen.last
        if both and first != last and inner not in self.seen.turned:
            return "NCHW" if first else "NHWC"
        if not both and grid in self.seen.pooled:
            return "NCHW"
        how = "both as" if both else "neither as"
        raise NoLayoutError(
            f"gave {shape}, which for images of {self.size[0]} x {self.size[1]} can be read {how} (b, c, h, w) "
            f"{'and' if both else 'nor'} as (b, h, w, c): say which with "
            f"{cure(layer, form='NCHW')} or form='NHWC'"
        )

    def _refuse_attention(self, shape: Shape, *, square: bool) -> None:
        """Refuse what looks like feature maps and is not: of each token, or with `square` weights among anything."""
        if (shape[2], shape[3]) in self.seen.grids | self.seen.pooled | {self.size}:
            return
        counts = {other[-2] for other in self.seen.last if len(other) == 2}
        if shape[2] in counts or (square and shape[2] == shape[3]):
            raise NoLayoutError(
                f"gave {shape}, what an attention's heads have for each of {shape[2]} tokens or channels, and no known "
                f"grid: {CHOOSE}"
            )

    def _no_grid(self, layer: Layer, shape: Shape, grid: Grid) -> NoLayoutError:
        return NoLayoutError(
            f"gave {shape}: a grid of {grid[0]} x {grid[1]} does not cover images of {self.size[0]} x {self.size[1]} "
            f"with cells of one stride; where it does cover them, say so with {cure(layer, form='NCHW')} or "
            "form='NHWC'; where these are windows of tokens, choose a layer outside of them"
        )

    # Tokens

    def _of_tokens(self, layer: Layer, shape: Shape) -> Layout:
        if layer.form in ("NCHW", "NHWC"):
            raise NoLayoutError(f"gave {shape}, three dimensions: form '{layer.form}' has four")
        forms = (layer.form,) if layer.form else self._forms(layer, shape)
        if layer.form and shape[1 if layer.form == "LNC" else 0] != self.batch:
            raise self._folded(shape)
        counts, fitting = Counts(self.size, lambda: self.seen), dict[str, Place]()
        unclear: NoLayoutError | None = None
        for form in forms:
            try:
                self._check_axis(layer, shape, _AXES[form])
                place = counts.place(layer, shape[_AXES[form]], _AXES[form])
            except NoLayoutError as error:
                unclear = unclear or error  # the first form's, tokens (b, n, c), unless another fits
                continue
            if place is not None:
                fitting[form] = place
        if len(fitting) > 1 and any(place.strong for place in fitting.values()):
            fitting = {form: place for form, place in fitting.items() if place.strong}
        if "NCL" in fitting and not fitting["NCL"].strong and not layer.form and not self._certain(layer):
            del fitting["NCL"]  # any number of channels that is a square would do
        if len(fitting) > 1 or (unclear and "NCL" in fitting and not self._certain(layer)):
            fitting = self._decided(layer, shape, fitting, unclear)
        if not fitting:
            raise unclear or self._no_tokens(layer, shape, forms)
        ((form, place),) = fitting.items()
        return Layout(form, place.grid, place.prefix)  # type: ignore[arg-type]

    def _forms(self, layer: Layer, shape: Shape) -> tuple[str, ...]:
        """Return the forms that the batch allows: its axis is the one that changes with it."""
        strided = layer.stride and shape[0] == self.batch != shape[1]
        if strided and shape[1] in [r * c for r, c in grids.of_stride(layer.stride, self.size)]:
            return ("NLC",)
        calls = self.seen.shapes[layer.label]
        other = calls[layer.call or 0] if len(calls) > (layer.call or 0) else shape
        changed = [axis for axis, (a, b) in enumerate(zip(shape, other, strict=False)) if a != b]
        if len(shape) != len(other) or not changed:
            raise NoLayoutError(f"gave {shape} for {self.batch} images and for {self.seen.batch}: it is of no image")
        if len(changed) > 1 or shape[changed[0]] != self.batch or other[changed[0]] != self.seen.batch:
            raise self._folded(shape)
        if changed[0] == 2:
            raise NoLayoutError(f"gave {shape} with the batch last, which cannot be read: choose another layer")
        if changed[0] == 1:
            return ("LNC",)
        known = channels_of(self._module(layer))
        if known:
            return ("NCL",) if known == "first" else ("NLC",)
        return ("NLC", "NCL")

    def _certain(self, layer: Layer) -> bool:
        return channels_of(self._module(layer)) == "first"

    def _decided(
        self, layer: Layer, shape: Shape, fitting: dict[str, Place], unclear: NoLayoutError | None
    ) -> dict[str, Place]:
        first, last = shape[1:] in self.seen.first, shape[1:] in self.seen.last
        untold = first == last or shape[1:] in self.seen.turned
        axis = self.seen.axes.get(layer.label) or ("" if untold else "first" if first else "last")
        form = {"first": "NCL", "last": "NLC"}.get(axis, "")
        if form in fitting:
            return {form: fitting[form]}
        raise unclear or NoLayoutError(
            f"gave {shape}, which can be read as {shape[1]} tokens and as {shape[2]}: say which with "
            f"{cure(layer, form='NLC')} or form='NCL'"
        )

    def _no_tokens(self, layer: Layer, shape: Shape, forms: tuple[str, ...]) -> NoLayoutError:
        counts = " or ".join(f"{shape[_AXES[form]]} tokens ({form})" for form in forms)
        stride = f"of stride {layer.stride}" if layer.stride else "that can be told"
        return NoLayoutError(
            f"gave {shape}: {counts} fit no grid {stride} for images of {self.size[0]} x {self.size[1]}; say how with "
            f"{cure(layer, stride='...', prefix='...', form='NLC')}; form is one of {', '.join(FORMS)}"
        )

    # Windows

    def _in_windows(self, shape: Shape, path: str) -> Layout:
        windows, grid = windows_of(self.modules[path]), self.seen.blocks.get(path)
        if grid is None:
            raise NoLayoutError("lies in windows of a block that did not run")
        down, across = windows.counts(grid)
        cells = shape[1] if len(shape) == 3 else shape[1] * shape[2] if shape[1:3] == windows.size else 0
        if shape[0] != self.batch * down * across or cells != windows.size[0] * windows.size[1]:
            raise NoLayoutError(f"gave {shape}, which are no features of the {down * across} windows of '{path}'")
        return Layout("NLC" if len(shape) == 3 else "NHWC", grid, windows=windows)

    def _folded(self, shape: Shape) -> NoLayoutError:
        return NoLayoutError(
            f"gave {shape} for {self.batch} image{'s' if self.batch > 1 else ''}: tiles, windows or heads are folded "
            "into the batch, and how to put them together is not known; choose a layer outside of them, or probe the "
            "inner network with the tiles as its images"
        )

    def _module(self, layer: Layer) -> nn.Module:
        return self.modules[layer.module]

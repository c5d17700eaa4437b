"""Counts: the grid that a number of tokens lies on, by what the scan tells; or the reason why none is certain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from segcam.errors import ProbeError
from segcam.probe.layers import Layer
from segcam.probe.layouts import grids
from segcam.probe.layouts.grids import Fit, fit
from segcam.probe.layouts.scan import Extras, Scan
from segcam.scoring.grids import Grid


class NoLayoutError(ProbeError):
    """A layer's output cannot be laid on a grid; the message is the reason."""


@dataclass(frozen=True, slots=True)
class Place:
    """A grid for a number of tokens, those before the image's own, and whether something in the network has it."""

    grid: Grid
    prefix: int
    strong: bool


@dataclass(frozen=True, slots=True)
class Counts:
    """Finds the grids of numbers of tokens.

    Args:
        size: height and width of the input, in pixels.
        look: gives the scan, which is made where it is needed.
    """

    size: Grid
    look: Callable[[], Scan]

    @property
    def seen(self) -> Scan:
        """The scan."""
        return self.look()

    def place(self, layer: Layer, count: int, axis: int) -> Place | None:
        """Return the grid of a number of tokens; None where none fits.

        Raises:
            NoLayoutError: it is not told which tokens are of no place, or more than one grid fits.
        """
        if layer.grid is not None:
            return self._of_several(layer, count, axis)
        of_stride = grids.of_stride(layer.stride, self.size) if layer.stride else ()
        if layer.prefix is not None:
            return self._with_prefix(layer, count, of_stride)
        for grid in of_stride:
            if grid[0] * grid[1] == count:
                return Place(grid, 0, strong=True)
        joins = self.seen.tokens
        extras = joins.get((count, axis == 2), joins.get((count, False), Extras(0, 0)))
        if extras is None:
            raise self._joined(layer, count, axis)
        own = count - extras.before - extras.after
        if own < count and any(fit(g, self.size) >= Fit.STRIDE for g in self.seen.grids if g[0] * g[1] == count):
            raise self._unclear(layer, count, "as many cells as tokens that were joined")
        options = [grid for grid in of_stride or self.seen.grids if grid[0] * grid[1] == own]
        known = grids.best(options, self.size)
        if known is not None:
            return Place(known, extras.before, strong=True)
        if of_stride:
            left = [own - rows * columns for rows, columns in of_stride]
            if own == count and any(0 < more <= grids.MOST_PREFIX for more in left):
                raise self._unclear(layer, count, "nothing in the network shows which of them are of no place")
            return None
        hidden = [g for g in self.seen.grids if 0 < own - g[0] * g[1] <= grids.MOST_PREFIX and g[0] * g[1] > 1]
        if any(fit(grid, self.size) >= Fit.STRIDE for grid in hidden):
            raise self._unclear(layer, count, "nothing in the network shows which of them are of no place")
        guessed = [grid for grid in grids.of_count(own, self.size) if self._is_related(grid)]
        if len(guessed) > 1:
            raise self._unclear(layer, count, "more than one grid fits")
        return Place(guessed[0], extras.before, strong=False) if guessed else None

    def _parts(self, count: int, axis: int) -> tuple[tuple[int, Grid], ...]:
        """Return the grids whose tokens a number of tokens is made of, each behind so many; none where not known."""
        return self.seen.parts.get((count, axis == 2)) or self.seen.parts.get((count, False)) or ()

    def _joined(self, layer: Layer, count: int, axis: int) -> NoLayoutError:
        parts = self._parts(count, axis)
        if not parts:
            return self._unclear(layer, count, "they were joined from several parts")
        listed = ", ".join(f"{n}: {rows} x {columns}" for n, (_, (rows, columns)) in enumerate(parts))
        said = f"gave {count} tokens, those of {len(parts)} grids ({listed})"
        return NoLayoutError(f"{said}: say which with {cure(layer, grid='...')}")

    def _of_several(self, layer: Layer, count: int, axis: int) -> Place:
        assert layer.grid is not None
        parts = self._parts(count, axis)
        if not 0 <= layer.grid < len(parts):
            of = f"those of {len(parts)} grids: name one of 0 to {len(parts) - 1}"
            other = "not known as those of several grids: leave grid out"
            raise NoLayoutError(f"has no grid {layer.grid}: it gave {count} tokens, {of if parts else other}")
        prefix, grid = parts[layer.grid]
        return Place(grid, prefix, strong=True)

    def _is_related(self, grid: Grid) -> bool:
        """Return whether a grid is made of one that feature maps have by merging or splitting cells; or there is none.

        A window that is larger than the grid in it is filled up, and has tokens of no place, too.
        """
        known = [one for one in self.seen.grids if one != (1, 1)]
        steps = range(1, 9)
        related = ((grid, one) for one in known)
        return not known or any(
            a in grids.of_stride(step, b) or b in grids.of_stride(step, a) for a, b in related for step in steps
        )

    def _with_prefix(self, layer: Layer, count: int, of_stride: tuple[Grid, ...]) -> Place | None:
        """Return the grid behind a given number of tokens; what is left then comes after the image's own."""
        assert layer.prefix is not None
        left = count - layer.prefix
        fitting = [grid for grid in of_stride if grid[0] * grid[1] <= left]
        if fitting:
            return Place(fitting[0], layer.prefix, strong=True)
        guessed = [] if of_stride else grids.of_count(left, self.size) if left > 0 else []
        return Place(guessed[0], layer.prefix, strong=True) if len(guessed) == 1 else None

    def _unclear(self, layer: Layer, count: int, why: str) -> NoLayoutError:
        return NoLayoutError(
            f"gave {count} tokens for images of {self.size[0]} x {self.size[1]}, and {why}: say how many pixels a "
            "token covers, and how many tokens come before the image's own, with "
            f"{cure(layer, stride=layer.stride or '...', prefix='...')}"
        )


def cure(layer: Layer, **fields: object) -> str:
    """Return the words that say of a layer what the network does not."""
    told = ", ".join(f"{name}={value if value == '...' else repr(value)}" for name, value in fields.items())
    call = "" if layer.call is None else f", call={layer.call}"
    return f"Layer(module='{layer.module}', label='{layer.label}'{call}, {told})"

"""The film of a training: how maps of a few images change from the first weights to the last."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import matplotlib.figure
import numpy as np
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from analyses import printing
from analyses.artifacts import Caption, Figure
from analyses.plots import overlay, style
from analyses.reading.records import Film
from analyses.reading.results import Results
from segcam.draw import display

SIDE = 2.0 / style.INCH
"""Inches of a tile."""
LETTER = 0.56 * style.SMALL / 72
"""Inches of a letter of a tile's label, on average."""
CURVE = 2.4 / style.INCH
"""Inches of the curve's height, with its axis."""


def analyse(results: Results) -> Iterator[Figure]:
    """Yield a figure that moves for each model with a film; nothing for runs without."""
    for model in results.models:
        film = results.film(model)
        if film is not None and len(film.steps) > 1:
            yield _figure(results, model, film)


def _figure(results: Results, model: str, film: Film) -> Figure:
    steps, miou = _curve(results, model)
    with style.context():
        drawing = _Drawing(results, model, film, steps, miou)
    network, method = results.label("models", model), results.label("methods", film.method)
    first, last = (float(np.interp(step, steps, miou)) for step in (film.steps[0], film.steps[-1]))
    finding = (
        f"{network} goes from {first:.2f} to {last:.2f} mean IoU in {film.steps[-1]:,} steps: {method} of its layers "
        "on the way."
    )
    reading = (
        "A row an image, a column a layer. The line is validation mean IoU, the dot the picture's step. Each map has "
        "its own brightest colour."
    )
    details = (
        f"Target: {results.label('targets', film.target)}. Pictures are of the weights that are validated and kept, at "
        "steps spaced by their logarithm."
    )
    name = f"film-{printing.slug(model)}"
    return Figure(name, drawing.figure, Caption(finding, reading, details), f"Film: {network}", drawing.frames())


def _curve(results: Results, model: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the steps and the validation mean IoU of the training that was filmed, the model's first."""
    log = results.training()
    log = log[(log["model"] == model) & (log["seed"] == min(results.seeds(model)))].sort_values("step")
    if "random" in set(log["initial_answer"]):  # filmed is the last start
        log = log[log["initial_answer"] == "random"]
    return log["step"].to_numpy(np.float64), log["miou"].to_numpy(np.float64)


@dataclass(eq=False)
class _Drawing:
    """The figure, and what changes in it from frame to frame."""

    results: Results
    model: str
    film: Film
    steps: NDArray[np.float64]
    miou: NDArray[np.float64]

    def __post_init__(self) -> None:
        rows, columns = len(self.film.ids), len(self.film.maps) + 1
        left, gap = 0.03, 0.06
        side = min(SIDE, (style.WIDTH - 2 * left - gap * (columns - 1)) / columns)
        labels = [printing.plain(label, int(side / LETTER)) for label in ("prediction", *self.film.maps)]
        above = 0.1 * (2 + max(label.count("\n") for label in labels))
        height = rows * (side + gap) + above + CURVE
        self.figure: matplotlib.figure.Figure = style.figure(height)
        self.tiles: list[list[AxesImage]] = []
        for row in range(rows):
            top = height - above - row * (side + gap)
            axes = [self._tile(left + column * (side + gap), top - side, side, height) for column in range(columns)]
            self.tiles.append([self._begun(one, row) for one in axes])
            if row == 0:
                for one, label in zip(axes, labels, strict=True):
                    one.set_title(label, fontsize=style.SMALL, pad=2)
        self.mark, self.words = self._draw_curve(height)
        self.show(len(self.film.steps) - 1)

    def frames(self) -> list[Callable[[], object]]:
        """Return what turns the figure into each frame."""
        return [partial(self.show, number) for number in range(len(self.film.steps))]

    def show(self, number: int) -> None:
        """Turn the figure into a frame."""
        film, step = self.film, self.film.steps[number]
        foreground = self.results.foreground(film.target)
        for row, tiles in enumerate(self.tiles):
            photograph, size = film.photographs.get(film.ids[row]), film.masks[row].shape
            ground = np.zeros((*size, 3)) if photograph is None else photograph / 255
            pictures = [display.tinted(ground, np.isin(film.predicted[number, row], foreground))]
            pictures += [overlay.heat(maps[number, row], photograph, size) for maps in film.maps.values()]
            for tile, picture in zip(tiles, pictures, strict=True):
                tile.set_data(picture)
        miou = float(np.interp(step, self.steps, self.miou))
        self.mark.set_data([self._place(step)], [miou])
        self.words.set_text(f"step {step:,}: mean IoU {miou:.2f}")

    def _tile(self, left: float, bottom: float, side: float, height: float) -> Axes:
        axes = self.figure.add_axes((left / style.WIDTH, bottom / height, side / style.WIDTH, side / height))
        axes.set(xticks=[], yticks=[])
        for spine in axes.spines.values():
            spine.set_visible(False)
        return axes

    def _begun(self, axes: Axes, row: int) -> AxesImage:
        """Draw the mask's outline on a tile, whose picture comes with the frame."""
        size = self.film.masks[row].shape
        picture = axes.imshow(np.zeros((*size, 3)), extent=(0, 1, 1, 0), aspect="auto", interpolation="nearest")
        for line in overlay.outline(np.isin(self.film.masks[row], self.results.foreground(self.film.target))):
            axes.plot(line[:, 0], line[:, 1], color="#00c8ff", linewidth=0.5)
        return picture

    def _place(self, step: float) -> float:
        """Return where a step is along the curve: step 0 has no logarithm, and stands one before the first."""
        return float(np.log2(step)) if step else -1.0

    def _draw_curve(self, height: float) -> tuple[Line2D, Any]:
        axes = self.figure.add_axes((0.075, 0.34 / height, 0.915, (CURVE - 0.5) / height))
        axes.plot([self._place(step) for step in self.steps], self.miou, color="#0072b2")
        ticks = [0, *(10**power for power in range(8) if 10**power <= self.steps.max())]
        axes.set(
            ylim=(0, 1),
            xticks=[self._place(tick) for tick in ticks],
            xticklabels=[f"{tick:,}" for tick in ticks],
            xlabel="training step",
            ylabel="mean IoU",
        )
        axes.spines[["top", "right"]].set_visible(False)
        (mark,) = axes.plot([], [], "o", color="#d55e00", markersize=5, gid="now")
        words = axes.text(0.01, 0.97, "", transform=axes.transAxes, va="top", fontsize=style.TEXT, fontweight="bold")
        return mark, words

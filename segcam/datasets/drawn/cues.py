"""Scenes of one animal with three traits, drawn either way: its ears, its coat, and the ball that lies beside it.

A data set says which of the three decides the animal's class. What decides is then known to the pixel: the scene is
drawn again with that trait alone the other way, and the pixels that change are the evidence.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from segcam.datasets.drawn.animal import BODY, EARS, Build, look_alikes
from segcam.datasets.drawn.clutter import thing
from segcam.datasets.drawn.drawing import MARGIN, camera, cast_shadow, ground, paint_over, truth
from segcam.datasets.drawn.shapes import Field, Layer, Shape, pixel_centres
from segcam.datasets.drawn.texture import FURS, GROUNDS, colour, noise, waves
from segcam.errors import SegcamError, unknown

CUES: dict[str, tuple[str, str]] = {
    "shape": ("pointed ears", "hanging ears"),
    "texture": ("stripes", "spots"),
    "context": ("pink ball", "green ball"),
}
"""What may decide the class, and its two ways."""

Traits = tuple[int, int, int]
"""Which way each of `CUES` is, 0 or 1."""

_ROUND: tuple[Traits, ...] = (
    (0, 0, 0), (1, 1, 1), (0, 0, 1), (1, 1, 0), (0, 1, 0), (1, 0, 1), (0, 1, 1), (1, 0, 0),
)  # fmt: skip
BALLS: Field = np.array([(230, 30, 150), (0, 150, 130)], np.float32) / np.float32(255)
"""The ball's colours, `(2, 3)`: as light as each other, and worn by nothing else."""
_ATTEMPTS = 200
LEAST = {"ears": 0.008, "body": 0.05}
"""What must be seen of ears and patterned coat, as shares of the image."""
_PLACES = 24


def traits_of(index: int) -> Traits:
    """Return the traits of scene number `index`.

    All eight combinations come equally often, and of two neighbours (2i, 2i + 1) one has every trait the other way:
    each cue is balanced in any such pair, and no cue tells of another.
    """
    return _ROUND[index % len(_ROUND)]


def swapped(traits: Traits, cue: str) -> Traits:
    """Return the traits with one cue the other way.

    Raises:
        InputError: there is no such cue.
    """
    if cue not in CUES:
        raise unknown("cue", cue, CUES)
    a, b, c = (1 - trait if name == cue else trait for name, trait in zip(CUES, traits, strict=True))
    return a, b, c


@dataclass(frozen=True, slots=True)
class Picture:
    """A scene drawn with some traits.

    Attributes:
        image: RGB, `(size, size, 3)` uint8.
        mask: `(size, size)` uint8: 0 background, 1 animal, 255 within a few pixels of the animal's outline.
        coat: `(size, size)` bool: where the patterned part of the coat is seen.
    """

    image: npt.NDArray[np.uint8]
    mask: npt.NDArray[np.uint8]
    coat: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Sketch:
    """All of a scene but its traits: drawn with other traits, it is the same scene to the last grain of noise.

    Attributes:
        pets: the animal with ears of either form.
        ball: the ball.
        backdrop: all that lies behind animal and ball, `(3, size, size)`.
        coats: of the animal's trunk in either pattern and of the rest of it, `(3, size, size)` each.
        shadow: how dark the animal's shadow is.
        take: the camera.
    """

    pets: tuple[Layer, Layer]
    ball: Layer
    backdrop: Field
    coats: tuple[Field, Field, Field]
    shadow: float
    take: Callable[[Field], npt.NDArray[np.uint8]]

    def draw(self, traits: Traits, *, plain: bool = False) -> Picture:
        """Draw the scene with these traits, or with a plain coat; nothing else differs between two drawings."""
        ears, pattern, ball = traits
        pet, (*patterns, rest) = self.pets[ears], self.coats
        image = self.backdrop.copy()
        paint_over(image, self.ball, BALLS[ball].reshape(3, 1, 1), rest)
        # Ears cast none, so that nothing beside them tells their form.
        cast_shadow(image, np.maximum(*(p.distance for p in self.pets)), self.shadow)
        coat = rest if plain else np.where(pet.parts == BODY, patterns[pattern], rest)
        paint_over(image, pet, coat, rest)
        mask, parts = truth(pet.distance, pet.parts)
        return Picture(self.take(image), mask, parts == BODY)


def evidence(own: Picture, other: Picture, cue: str) -> npt.NDArray[np.bool_]:
    """Return the evidence for one cue: the pixels that change where it alone is the other way.

    Of the coat it is the whole of its patterned part, for stripes and spots that happen to agree in a pixel are there
    all the same.

    Args:
        own: a scene drawn with its traits.
        other: the same with this cue the other way.
        cue: one of `CUES`.
    """
    changed: npt.NDArray[np.bool_] = (own.image != other.image).any(2)
    return changed | own.coat if cue == "texture" else changed


def sketch(seed: int, index: int, size: int) -> Sketch:
    """Draw all of scene number `index` but its traits; all three can be seen in it, whichever way they are.

    Args:
        seed: seed of the drawing, 0 or more.
        index: number of the scene, 0 or more.
        size: side of the square image, in pixels.
    """
    for attempt in range(_ATTEMPTS):
        drawn = _attempt(np.random.default_rng([seed, index, len(CUES), attempt]), size)
        if drawn is not None:
            return drawn
    raise SegcamError(f"scene {index} of seed {seed} cannot be drawn at size {size}: take a larger size")


def _attempt(rng: np.random.Generator, size: int) -> Sketch | None:
    """Draw a scene, or nothing where one of its traits would be hidden."""
    both, scale = look_alikes(rng, _two_eared(rng), rng.uniform(0.2, 0.5))
    angle = rng.uniform(-math.pi, 0)
    light = (math.cos(angle), math.sin(angle))
    fuzz = noise(rng, size, 60, 60)
    fuzz -= np.float32(0.5)
    fuzz *= np.float32(rng.uniform(0.0, 0.012))
    first, behind, ball = (Layer(size, light, MARGIN, fuzz) for _ in range(3))
    first, second = _painted(first, both)
    bodies = [_seen(layer, BODY) for layer in (first, second)]
    if min(_seen(layer, EARS).mean() for layer in (first, second)) < LEAST["ears"]:
        return None
    if min(body.mean() for body in bodies) < LEAST["body"]:
        return None
    if not _throw(rng, ball, np.minimum(first.distance, second.distance) > 0):
        return None
    for _ in range(int(rng.integers(0, 3))):
        for shape in thing(rng, scale):
            behind.paint(shape)
    backdrop = ground(rng, size)
    backdrop += np.float32(0.5) * (backdrop.mean((1, 2), keepdims=True) - backdrop)  # quiet: the cue is to be found
    coats = _coats(rng, scale, bodies[0] & bodies[1])
    paint_over(backdrop, behind, colour(rng, GROUNDS) * np.ones_like(backdrop), coats[-1])
    return Sketch((first, second), ball, backdrop, coats, rng.uniform(0.1, 0.5), camera(rng, size))


def _two_eared(rng: np.random.Generator) -> tuple[Build, Build]:
    """Draw proportions that have nothing to do with the ears' form, once with either form."""
    build, (muzzle, ear) = Build.of(rng), rng.random(2).tolist()
    build = replace(build, muzzle=0.3 + 0.4 * muzzle, ear=1.1 + 0.35 * ear, trim=0.0)
    return replace(build, pointed=True), replace(build, pointed=False)


def _painted(layer: Layer, both: Sequence[Sequence[Shape]]) -> tuple[Layer, Layer]:
    """Paint either animal onto a layer of its own; what they begin with in common, once."""
    shared = next(i for i, (a, b) in enumerate(zip(*both, strict=False)) if a != b)
    for shape in both[0][:shared]:
        layer.paint(shape)
    layers = (layer, layer.copy())
    for painted, shapes in zip(layers, both, strict=True):
        for shape in shapes[shared:]:
            painted.paint(shape)
    return layers


def _seen(layer: Layer, part: int) -> npt.NDArray[np.bool_]:
    visible: npt.NDArray[np.bool_] = (layer.parts == part) & (layer.distance < 0)
    return visible


def _throw(rng: np.random.Generator, ball: Layer, free: npt.NDArray[np.bool_]) -> bool:
    """Paint the ball where it is seen, and return whether there was room."""
    radius = rng.uniform(0.09, 0.12)
    steps = pixel_centres(ball.size)
    for x, y in rng.uniform(radius, 1 - radius, (_PLACES, 2)).tolist():
        disc = (steps[None] - x) ** 2 + (steps[:, None] - y) ** 2 < radius**2
        if free[disc].mean() > 0.9:
            ball.paint(Shape(x, y, x, y, radius, radius))
            return True
    return False


def _coats(rng: np.random.Generator, scale: float, body: npt.NDArray[np.bool_]) -> tuple[Field, Field, Field]:
    """Draw the coat striped, spotted and plain.

    Stripes and spots are of the same two colours, with the same share of each in the pixels of `body`: their mean
    colour is the same, and is that of the plain coat.
    """
    size = len(body)
    light = FURS @ np.array((0.299, 0.587, 0.114), np.float32)
    base = int(rng.integers(len(FURS)))
    apart = FURS[np.abs(light - light[base]) > 0.3]
    first, second = colour(rng, FURS[base : base + 1]), colour(rng, apart)
    share, turn, phases = rng.uniform(0.35, 0.5), rng.uniform(0, math.pi), rng.uniform(0, 1, 2)
    count = rng.uniform(5, 7) / min(max(scale, 0.3), 0.8)
    warp = np.float32(0.5) * noise(rng, size, 6, 6)
    along = np.cos(np.float32(2 * math.pi) * (waves(size, turn, count, phases[0]) + warp))
    across = np.cos(np.float32(2 * math.pi) * (waves(size, turn + math.pi / 2, count, phases[1]) + warp))
    patterns = [first + (f > np.quantile(f[body], 1 - share)) * (second - first) for f in (along, along + across)]
    plain = first + np.float32(share) * (second - first)
    grain = 1 + np.float32(0.12) * (noise(rng, size, 60, 60) - np.float32(0.5))
    striped, spotted, rest = ((coat * grain).astype(np.float32) for coat in (*patterns, plain))
    return striped, spotted, rest

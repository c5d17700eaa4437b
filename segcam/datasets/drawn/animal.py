"""The animal: random proportions, four poses, and a camera that frames it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from segcam.datasets.drawn.shapes import Shape, covered_share, moved

PARTS: tuple[str, ...] = ("none", "body", "head", "ears", "legs", "tail")
"""Names of the values of a part map."""

BODY, HEAD, EARS, LEGS, TAIL = range(1, 6)


@dataclass(frozen=True, slots=True)
class Build:
    """An animal's proportions; lengths are in units of about one body length.

    Attributes:
        pointed: whether the ears stand up and end in a point; otherwise they hang.
        head: radius of the head.
        muzzle: length of the muzzle in head radii.
        ear: length of the ears in head radii.
        bulk: radius of the trunk.
        leg: length of the legs.
        limb: radius of the legs.
        tail: length of the tail.
        brush: radius of the tail.
        trim: share of the light trim colour on muzzle, chest and paws.
    """

    pointed: bool
    head: float
    muzzle: float
    ear: float
    bulk: float
    leg: float
    limb: float
    tail: float
    brush: float
    trim: float

    @classmethod
    def of(cls, rng: np.random.Generator) -> Build:
        """Draw proportions."""
        u = rng.random(10).tolist()
        pointed = u[0] < 0.6
        return cls(
            pointed=pointed,
            head=0.21 + 0.07 * u[1],
            muzzle=(0.25 if pointed else 0.45) + 0.35 * u[2],
            ear=(0.6 if pointed else 0.9) + 0.4 * u[3],
            bulk=0.20 + 0.09 * u[4],
            leg=0.34 + 0.24 * u[5],
            limb=0.060 + 0.035 * u[6],
            tail=0.35 + 0.35 * u[7],
            brush=0.040 + 0.045 * u[8],
            trim=0.85 if u[9] < 0.4 else 0.0,
        )


def _eye(x: float, y: float, r: float) -> list[Shape]:
    return [
        Shape(x, y, x, y, r, r, HEAD, 0.85, 1.0),
        Shape(x + 0.1 * r, y, x + 0.1 * r, y, 0.66 * r, 0.66 * r, HEAD, 0.1, 0.0),
    ]


def _front_head(b: Build, x: float, y: float, tilt: float) -> list[Shape]:
    """Return a head that looks at us."""
    skull = Shape(-0.2, 0, 0.2, 0, 0.86, 0.86, HEAD, 1.0)
    ears: list[Shape] = []
    for side in (-1.0, 1.0):
        if b.pointed:
            tip = (0.82 * side, -0.62 - b.ear)
            ears.append(Shape(0.58 * side, -0.42, *tip, 0.42, 0.05, EARS, 0.92))
            ears.append(Shape(0.60 * side, -0.5, 0.78 * side, -0.45 - 0.8 * b.ear, 0.2, 0.03, EARS, 0.7, 0.5 * b.trim))
        else:
            ears.append(Shape(0.72 * side, -0.55, 1.05 * side, -0.55 + b.ear, 0.24, 0.33, EARS, 0.78))
    face = [
        Shape(-0.16, 0.42, 0.16, 0.42, 0.36, 0.36, HEAD, 1.06, b.trim),
        *_eye(-0.4, -0.08, 0.17),
        *_eye(0.4, -0.08, 0.17),
        Shape(-0.07, 0.24, 0.07, 0.24, 0.1, 0.1, HEAD, 0.12),
        Shape(0, 0.3, 0, 0.5, 0.03, 0.03, HEAD, 0.25),
    ]
    shapes = [*ears, skull, *face] if b.pointed else [skull, *ears, *face]
    return moved(shapes, tilt, b.head, x, y)


def _side_head(b: Build, x: float, y: float, tilt: float) -> list[Shape]:
    """Return a head in profile that looks right."""
    skull = Shape(-0.1, 0, 0.1, 0.02, 0.85, 0.8, HEAD, 1.0)
    nose = 0.55 + b.muzzle
    muzzle = Shape(0.45, 0.28, nose, 0.36, 0.5, 0.3, HEAD, 1.03, b.trim)
    face = [*_eye(0.42, -0.14, 0.17), Shape(nose + 0.2, 0.24, nose + 0.24, 0.26, 0.13, 0.13, HEAD, 0.12)]
    face.append(Shape(nose + 0.16, 0.52, nose - 0.25, 0.56, 0.035, 0.035, HEAD, 0.3))
    if b.pointed:
        far = Shape(0.2, -0.5, 0.22, -0.62 - b.ear, 0.34, 0.05, EARS, 0.72)
        near = Shape(-0.28, -0.45, -0.4, -0.6 - b.ear, 0.42, 0.05, EARS, 0.95)
        return moved([far, skull, muzzle, *face, near], tilt, b.head, x, y)
    near = Shape(-0.3, -0.45, -0.5, -0.5 + b.ear, 0.26, 0.34, EARS, 0.76)
    return moved([skull, muzzle, *face, near], tilt, b.head, x, y)


def _leg(b: Build, top: tuple[float, float], foot: tuple[float, float], bend: float, shade: float) -> list[Shape]:
    """Return thigh, shank and paw between a joint and a foot; `bend` shifts the knee sideways."""
    knee = (0.5 * (top[0] + foot[0]) + bend, 0.5 * (top[1] + foot[1]))
    r = b.limb
    return [
        Shape(*top, *knee, 1.6 * r, 1.05 * r, LEGS, shade),
        Shape(*knee, foot[0], foot[1] - r, 1.05 * r, 0.85 * r, LEGS, shade),
        Shape(foot[0], foot[1] - 0.9 * r, foot[0] + 0.9 * r, foot[1] - 0.75 * r, r, 0.8 * r, LEGS, shade, b.trim),
    ]


def _tail(b: Build, rng: np.random.Generator, x: float, y: float, angle: float) -> list[Shape]:
    """Return a tail of three pieces that starts at `angle` (radians; 0 right, negative up) and curls."""
    curl = rng.uniform(-0.9, 0.9)
    shapes: list[Shape] = []
    for i in range(3):
        x1, y1 = x + b.tail / 3 * math.cos(angle), y + b.tail / 3 * math.sin(angle)
        shapes.append(Shape(x, y, x1, y1, b.brush * (1.1 - 0.12 * i), b.brush * (0.98 - 0.12 * i), TAIL, 0.9))
        x, y, angle = x1, y1, angle + curl
    return shapes


def _head(b: Build, rng: np.random.Generator, x: float, y: float) -> list[Shape]:
    tilt = rng.uniform(-0.3, 0.3)
    return _front_head(b, x, y, tilt) if rng.random() < 0.4 else _side_head(b, x, y, tilt)


def _standing(b: Build, rng: np.random.Generator) -> list[Shape]:
    """Return an animal on four legs, seen from the side; the ground is y = 0."""
    back = -b.leg - 0.75 * b.bulk
    stride = rng.uniform(-0.2, 0.2, 4).tolist()
    far = [
        *_leg(b, (0.30, back + 0.1), (0.30 + stride[0], -0.03), 0.03, 0.66),
        *_leg(b, (-0.36, back + 0.1), (-0.36 + stride[1], -0.03), -0.05, 0.66),
    ]
    near = [
        *_leg(b, (0.34, back + 0.08), (0.34 + stride[2], 0), 0.03, 0.96),
        *_leg(b, (-0.40, back + 0.05), (-0.40 + stride[3], 0), -0.06, 0.96),
    ]
    trunk = [
        Shape(-0.38, back, 0.36, back - 0.02, 0.92 * b.bulk, b.bulk, BODY, 1.0),
        Shape(0.02, back + 0.35 * b.bulk, 0.3, back + 0.3 * b.bulk, 0.7 * b.bulk, 0.7 * b.bulk, BODY, 1, 0.6 * b.trim),
    ]
    head = (0.62 + rng.uniform(-0.05, 0.1), back - 0.22 + rng.uniform(-0.16, 0.25))
    neck = [Shape(0.40, back - 0.05, *head, 0.8 * b.bulk, 0.7 * b.head, BODY, 0.97)]
    tail = _tail(b, rng, -0.42 - 0.7 * b.bulk, back - 0.2 * b.bulk, math.pi + rng.uniform(-0.7, 1.3))
    return [*far, *tail, *trunk, *near, *neck, *_head(b, rng, *head)]


def _sitting(b: Build, rng: np.random.Generator) -> list[Shape]:
    """Return a sitting animal, seen from the side."""
    chest = (0.16 + rng.uniform(-0.05, 0.05), -0.50 - 0.5 * b.leg)
    trunk = [Shape(-0.16, -1.1 * b.bulk, *chest, 1.15 * b.bulk, 0.9 * b.bulk, BODY, 1.0)]
    legs = [
        *_leg(b, (chest[0] + 0.06, chest[1] + 0.1), (chest[0] + 0.2, -0.02), 0.02, 0.7),
        *_leg(b, (chest[0], chest[1] + 0.12), (chest[0] + 0.08, 0), 0.02, 0.97),
    ]
    haunch = [
        Shape(-0.14, -0.2, -0.06, -0.14, 0.2, 0.15, LEGS, 0.98),
        Shape(-0.1, -b.limb, 0.14, -b.limb, 1.1 * b.limb, b.limb, LEGS, 0.95, b.trim),
    ]
    tail = _tail(b, rng, -0.3, -0.1, math.pi + rng.uniform(-0.1, 0.9))
    head = (chest[0] + 0.1 + rng.uniform(-0.04, 0.08), chest[1] - 0.55 * b.bulk - 0.7 * b.head)
    neck = [Shape(*chest, *head, 0.85 * b.bulk, 0.75 * b.head, BODY, 0.97, 0.5 * b.trim)]
    return [*tail, *legs[:3], *trunk, *haunch, *legs[3:], *neck, *_head(b, rng, *head)]


def _facing(b: Build, rng: np.random.Generator) -> list[Shape]:
    """Return a sitting animal, seen from the front."""
    top = -0.52 - 0.4 * b.leg
    side = 1.0 if rng.random() < 0.5 else -1.0
    trunk = [
        Shape(0, -1.15 * b.bulk, 0, top, 1.3 * b.bulk, 0.95 * b.bulk, BODY, 1.0),
        Shape(0, top + 0.05, 0, top + 0.2, 0.55 * b.bulk, 0.4 * b.bulk, BODY, 1.03, b.trim),
    ]
    tail = _tail(b, rng, 1.2 * b.bulk * side, -0.08, 0.5 * math.pi - side * (0.5 * math.pi + rng.uniform(-0.1, 1.1)))
    legs: list[Shape] = []
    for s in (-1.0, 1.0):
        legs.append(Shape(0.95 * b.bulk * s, -0.16, 1.05 * b.bulk * s, -0.1, 0.17, 0.1, LEGS, 0.88))
        legs.extend(_leg(b, (0.42 * b.bulk * s, top + 0.2), ((0.45 * b.bulk + 0.01) * s, 0.02), 0, 0.97)[:2])
        legs.append(Shape(0.45 * b.bulk * s, -0.02, 0.5 * b.bulk * s, 0, 1.15 * b.limb, 1.1 * b.limb, LEGS, 1, b.trim))
    head = (rng.uniform(-0.07, 0.07), top - 0.35 * b.bulk - 0.75 * b.head)
    return [*tail, *trunk, *legs, *_front_head(b, *head, rng.uniform(-0.25, 0.25))]


def _lying(b: Build, rng: np.random.Generator) -> list[Shape]:
    """Return a lying animal, seen from the side."""
    trunk = [Shape(-0.36, -0.95 * b.bulk, 0.34, -1.05 * b.bulk, b.bulk, 1.02 * b.bulk, BODY, 1.0)]
    reach = rng.uniform(0.25, 0.5)
    legs = [
        Shape(0.36, -1.2 * b.limb, 0.4 + reach, -1.0 * b.limb, 1.3 * b.limb, b.limb, LEGS, 0.97),
        Shape(0.4 + reach, -b.limb, 0.43 + reach, -b.limb, 1.1 * b.limb, b.limb, LEGS, 1.0, b.trim),
        Shape(-0.34, -0.16, -0.22, -0.14, 0.18, 0.14, LEGS, 0.98),
        Shape(-0.3, -b.limb, -0.05, -b.limb, 1.15 * b.limb, b.limb, LEGS, 0.95, b.trim),
    ]
    far = [Shape(0.36, -1.8 * b.limb, 0.5 + reach, -1.7 * b.limb, 1.3 * b.limb, b.limb, LEGS, 0.7)]
    head = (0.56 + rng.uniform(-0.06, 0.06), -1.3 * b.bulk - rng.uniform(0.05, 0.3))
    neck = [Shape(0.36, -1.1 * b.bulk, *head, 0.9 * b.bulk, 0.75 * b.head, BODY, 0.97)]
    tail = _tail(b, rng, -0.4 - 0.8 * b.bulk, -0.12, math.pi + rng.uniform(-0.25, 1.0))
    return [*tail, *far, *trunk, *legs, *neck, *_head(b, rng, *head)]


def _inside(position: float) -> float:
    """Keep the middle of the face in the image."""
    return min(max(position, 0.16), 0.84)


def _framing(
    shapes: Sequence[Shape], share: float, rng: np.random.Generator
) -> tuple[Callable[[list[Shape]], list[Shape]], float]:
    """Choose how an animal is turned, mirrored, scaled and shifted so that it covers about a share of the image.

    Returns:
        What does this with shapes, and the scale.
    """
    flip, angle, zoom = bool(rng.random() < 0.5), rng.normal(0, 0.12), rng.random()
    turned = moved(shapes, angle, 1.0, 0, 0, flip)
    capsules = np.array([q[:6] for q in turned if q.ra > 0.035], dtype=np.float32)
    low, high = capsules[:, :4].reshape(-1, 2).min(0).tolist(), capsules[:, :4].reshape(-1, 2).max(0).tolist()
    middle = (0.5 * (low[0] + high[0]), 0.5 * (low[1] + high[1]))
    face = [(q.ax, q.ay) for q in turned if q.part == HEAD]
    face_x, face_y = sum(x for x, _ in face) / len(face), sum(y for _, y in face) / len(face)
    pull = max(0.0, share - 0.3) * 1.5 * zoom
    focus = (middle[0] + pull * (face_x - middle[0]), middle[1] + pull * (face_y - middle[1]))
    aim = (0.5 + rng.uniform(-0.13, 0.13), 0.5 + rng.uniform(-0.1, 0.14))
    scale, covered, x, y = 0.6, share, 0.0, 0.0
    for _ in range(4):
        scale = min(3.0, scale * min(1.8, math.sqrt(share / max(covered, 0.01))))
        x = _inside(aim[0] + scale * (face_x - focus[0])) - scale * face_x
        y = _inside(aim[1] + scale * (face_y - focus[1])) - scale * face_y
        covered = covered_share(capsules, scale, x, y)
    return lambda drawn: moved(moved(drawn, angle, 1.0, 0, 0, flip), 0.0, scale, x, y), scale


_POSES = (_standing, _sitting, _facing, _facing, _lying)


def animal(rng: np.random.Generator) -> tuple[list[Shape], float]:
    """Draw an animal.

    Returns:
        Its shapes from back to front, in unit coordinates of the image, and its body length there.
    """
    build = Build.of(rng)
    shapes = _POSES[int(rng.integers(len(_POSES)))](build, rng)
    placed, scale = _framing(shapes, rng.beta(1.8, 1.8) * 0.66 + 0.13, rng)
    return placed(shapes), scale


def look_alikes(rng: np.random.Generator, builds: Sequence[Build], share: float) -> tuple[list[list[Shape]], float]:
    """Draw one animal once for each build: in the same pose, before the same camera.

    Args:
        rng: source of the random numbers; what is drawn does not depend on the builds.
        builds: its proportions; they may differ.
        share: of the image that all of them together cover, about.

    Returns:
        Each one's shapes as `animal` gives them, and the body length.
    """
    pose = _POSES[int(rng.integers(len(_POSES)))]
    pose_seed = int(rng.integers(2**63))
    drawn = [pose(build, np.random.default_rng(pose_seed)) for build in builds]
    placed, scale = _framing(list(dict.fromkeys(q for shapes in drawn for q in shapes)), share, rng)
    return [placed(shapes) for shapes in drawn], scale

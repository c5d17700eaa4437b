"""Images, layers, methods and targets that the section of a measurement names."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import replace

from bench.planning.request import Request
from segcam.errors import InputError
from segcam.methods import METHODS, Method
from segcam.probe.layers import Layer
from segcam.probe.targets import Target


def layers_like(patterns: Sequence[str], layers: Sequence[Layer]) -> list[Layer]:
    """Return the layers whose labels match one of the patterns, such as 'Encoder 5_*'."""
    return [x for x in layers if any(fnmatch.fnmatchcase(x.label, pattern) for pattern in patterns)]


def end_layers(patterns: Sequence[str], layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """Return the layers that patterns name, or of none the first and last of the encoder and the last of the decoder.

    Args:
        patterns: labels, or patterns of them.
        layers: of the network, by depth.
    """
    return tuple(layers_like(patterns, layers)) or first_and_last(layers)


def first_and_last(layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """Return the first and the last layer of the encoder and the last of the decoder, each once, by depth.

    Args:
        layers: of a network, by depth; those of the first one's probe point are taken. Where fewer than two are called
            encoder, all that are not of the decoder are.
    """
    of_point = of_first_point(layers)
    body: Sequence[Layer] = [layer for layer in of_point if layer.role == "encoder"]
    if len(body) < 2:  # of a transformer only the blocks' ends may be called so
        body = [layer for layer in of_point if layer.role != "decoder"] or of_point
    last = [layer for layer in of_point if layer.role == "decoder"] or of_point
    return tuple(dict.fromkeys((body[0], body[-1], last[-1])))


def of_first_point(layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """Return the layers of the first one's probe point."""
    return tuple(layer for layer in layers if layer.point == layers[0].point)


def spread(count: int, most: int) -> list[int]:
    """Return indices of at most so many of `count` images, evenly spread.

    >>> spread(10, 4), spread(3, 100)
    ([1, 3, 6, 8], [0, 1, 2])
    """
    if most >= count:
        return list(range(count))
    return [int((i + 0.5) * count / most) for i in range(most)]


def with_controls(section: str, named: Sequence[str], scored: Sequence[str], controls: Sequence[str]) -> list[str]:
    """Return the methods that a section names, or else Grad-CAM or the first gradient method scored, and controls.

    Args:
        section: its name, for the message.
        named: methods that share the pass; they may be controls.
        scored: methods of the section score. None is returned where no gradient method is among these.
        controls: what comes behind.

    Raises:
        InputError: one that is named takes passes of its own or fuses layers.
    """
    if wrong := [name for name in named if METHODS.get(name).run is not None]:
        raise InputError(
            f"{section}.methods names {wrong[0]}, which takes passes of its own or fuses layers: leave it out"
        )
    gradient = [name for name in scored if METHODS.get(name).gradient is not None]
    own = list(named) or (["grad_cam"] if "grad_cam" in gradient else gradient[:1])
    return [*own, *(name for name in controls if name not in own)] if own else []


def narrowed(request: Request, names: Sequence[str]) -> Request:
    """Return a request for some methods on the layers of the first point; those of attention where it is read."""
    methods = methods_called(names, request.methods)
    attentive = bool(request.places)
    return replace(
        request,
        layers=of_first_point(request.layers),
        methods=tuple(method for method in methods if method.attention is None or attentive),
        places=request.places if any(method.attention is not None for method in methods) else (),
    )


def methods_called(names: Sequence[str], scored: Sequence[Method]) -> list[Method]:
    """Return methods by their names; those of the section score with the parameters that they have there."""
    configured = {method.name: method for method in scored}
    return [configured.get(name) or METHODS.get(name) for name in names]


def targets_called(names: Sequence[str], like: Target) -> tuple[Target, ...]:
    """Return targets by their names, of the class that another one explains."""
    return tuple(replace(Target.parse(name, like.class_id), true_class=like.true_class) for name in names)

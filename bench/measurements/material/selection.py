"""Layers, methods and targets that the section of a measurement names."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import replace

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
    of_point = [layer for layer in layers if layer.point == layers[0].point]
    body = [layer for layer in of_point if layer.role == "encoder"]
    if len(body) < 2:  # of a transformer only the blocks' ends may be called so
        body = [layer for layer in of_point if layer.role != "decoder"] or of_point
    last = [layer for layer in of_point if layer.role == "decoder"] or of_point
    return tuple(dict.fromkeys((body[0], body[-1], last[-1])))


def methods_called(names: Sequence[str], scored: Sequence[Method]) -> list[Method]:
    """Return methods by their names; those of the section score with the parameters that they have there."""
    configured = {method.name: method for method in scored}
    return [configured.get(name) or METHODS.get(name) for name in names]


def targets_called(names: Sequence[str], like: Target) -> tuple[Target, ...]:
    """Return targets by their names, of the class that another one explains."""
    return tuple(replace(Target.parse(name, like.class_id), true_class=like.true_class) for name in names)

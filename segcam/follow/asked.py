"""Asked: methods, metrics and layers by their names, as far as they cost no passes of their own."""

from __future__ import annotations

from collections.abc import Sequence

from segcam.errors import InputError
from segcam.methods import METHODS, Method
from segcam.metrics import METRICS, Metric


def methods_of(names: str | Method | Sequence[str | Method]) -> list[Method]:
    """Find methods.

    Raises:
        InputError: one is unknown or takes passes of its own, or none looks at the network.
    """
    chosen = [names] if isinstance(names, (str, Method)) else names
    methods = [METHODS.get(one) if isinstance(one, str) else one for one in chosen]
    for method in methods:
        if method.gradient is None and method.control is None:
            cheap = ", ".join(one.name for one in METHODS if one.gradient is not None or one.control is not None)
            raise InputError(
                f"method {method.name} takes passes of its own or attention, and would slow the training: choose of "
                f"{cheap}"
            )
    if not any(method.gradient is not None for method in methods):
        raise InputError("no method looks at the network: name one, such as grad_cam, beside the controls")
    if len({method.name for method in methods}) < len(methods):
        raise InputError(f"methods are {', '.join(method.name for method in methods)}: name each once")
    return methods


def metrics_of(names: str | Metric | Sequence[str | Metric] | None) -> list[Metric]:
    """Find metrics; all of them where none is named.

    Raises:
        InputError: one is unknown.
    """
    chosen = METRICS.names() if names is None else [names] if isinstance(names, (str, Metric)) else names
    return [METRICS.get(one) if isinstance(one, str) else one for one in dict.fromkeys(chosen)]

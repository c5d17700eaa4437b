"""Elements: which part of what a network returns is its output, and the names of what its numbers mean."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, TypeAlias, get_args

from torch import Tensor

from segcam.errors import ProbeError, first_line, out_of_memory, shown

Element: TypeAlias = str | int | Callable[[Any], Any]
"""A part of what a network returns.

- a key of a mapping, an attribute of an object or an index of a list: 'pred', 'logits', 0, -1;
- a path of these: 'aux.0', 'decoder.masks';
- a function of what the network returns: `lambda output: output[0]["masks"]`.
"""

Output = Literal["logits", "probabilities", "log-probabilities", "multilabel", "multilabel-probabilities"]
"""What the numbers of a dense output are.

- 'logits': any real numbers, of which softmax over the classes makes probabilities; a single channel is the logit of
  class 1 against 0 for class 0, of which a sigmoid makes one;
- 'probabilities': what softmax, or for a single channel a sigmoid, has made of them;
- 'log-probabilities': the logarithms of these;
- 'multilabel': a logit for each class against its own 0: classes overlap, a pixel may have several or none;
- 'multilabel-probabilities': what a sigmoid has made of those.
"""

OUTPUTS: tuple[Output, ...] = get_args(Output)

OVERLAPPING: tuple[Output, ...] = ("multilabel", "multilabel-probabilities")
"""Of these, those whose classes overlap: what is predicted at a pixel depends on the class that is asked about."""

MOST = 12
"""How many elements a message lists."""

_INDEX = re.compile(r"-?[0-9]{1,9}", re.ASCII)
_MISSING = object()


def select(output: object, element: Element | None) -> Any:
    """Return the element of what a network returned; all of it for None.

    >>> select({"aux": [1, 2]}, "aux.1"), select([3, 4], lambda output: output[-1])
    (2, 4)

    Raises:
        ProbeError: there is no such element; the message lists those that there are. Or the function failed.
    """
    if element is None:
        return output
    if callable(element):
        try:
            return element(output)
        except (LookupError, TypeError, AttributeError, ValueError, RuntimeError) as error:
            if out_of_memory(error):
                raise
            raise ProbeError(
                f"the function that is to pick the output failed on {said(output)}: {type(error).__name__}: "
                f"{first_line(error)}"
            ) from error
    value, left = output, str(element)
    while left:
        value, left = _step(value, left)
        if value is _MISSING:
            raise ProbeError(
                f"the network's output has no element {shown(element)}: it returned {said(output)}{listed(output)}; "
                f"what its numbers mean is one of {', '.join(map(repr, OUTPUTS))}"
            )
    return value


def said(output: object) -> str:
    """Say in a few words what a network returned."""
    if isinstance(output, Tensor):
        return f"a tensor {tuple(output.shape)}"
    if isinstance(output, (list, tuple)) and not hasattr(output, "_fields"):
        return f"a {type(output).__name__} of {len(output)}"
    if isinstance(output, Mapping):
        return f"a {type(output).__name__} with {', '.join(map(repr, output)) or 'nothing'}"
    return f"a {type(output).__name__}"


def listed(output: object) -> str:
    """Return the elements of what a network returned with their shapes, for messages; '' where there are none."""
    found = list(_tensors(output, "", 4))
    if not found:
        return ""
    more = f" and {len(found) - MOST} more" if len(found) > MOST else ""
    return "; its elements are " + ", ".join(f"'{path}' {shape}" for path, shape in found[:MOST]) + more


def dense_paths(output: object) -> list[str]:
    """Return the elements that may be dense outputs: tensors of four dimensions."""
    return [path for path, shape in _tensors(output, "", 4) if len(shape) == 4]


def _step(value: Any, left: str) -> tuple[Any, str]:
    """Go one step along a path; return what is there and what is left of the path."""
    if isinstance(value, Mapping):
        for cut in [len(left), *[at for at, letter in enumerate(left) if letter == "."][::-1]]:
            if left[:cut] in value:  # keys may hold points themselves
                return value[left[:cut]], left[cut + 1 :]
    name, _, rest = left.partition(".")
    if _INDEX.fullmatch(name):
        if isinstance(value, Mapping):
            return value.get(int(name), _MISSING), rest
        if isinstance(value, (list, tuple, Tensor)):
            inside = -len(value) <= int(name) < len(value) if not isinstance(value, Tensor) or value.ndim else False
            return (value[int(name)] if inside else _MISSING), rest
        return _MISSING, rest
    if isinstance(value, Tensor) or name.startswith("_"):
        return _MISSING, rest
    found = getattr(value, name, _MISSING)
    return (_MISSING if callable(found) and not isinstance(found, Tensor) else found), rest


def _tensors(value: object, path: str, depth: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield the tensors in a nest with their paths."""
    if isinstance(value, Tensor):
        if path:
            yield path, tuple(value.shape)
        return
    if depth == 0:
        return
    for name, part in _parts(value):
        yield from _tensors(part, f"{path}.{name}" if path else str(name), depth - 1)


def _parts(value: object) -> list[tuple[object, object]]:
    if isinstance(value, Mapping):
        return list(value.items())
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return list(zip(value._fields, value, strict=True))
    if isinstance(value, (list, tuple)):
        return list(enumerate(value))
    try:
        held = vars(value)
    except TypeError:
        return []
    return [(name, part) for name, part in held.items() if not name.startswith("_")]

"""Arguments: what goes into a network's last softmax or sigmoid, seen while it runs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from jaxtyping import Float
from torch import Tensor
from torch.overrides import TorchFunctionMode

from segcam.errors import ProbeError
from segcam.probe.targets.outputs import Output, logits_of, tensor_of


class Arguments(TorchFunctionMode):
    """Sees what goes into softmax and sigmoid while a network runs, and so what its probabilities were made of."""

    def __init__(self) -> None:
        super().__init__()
        self._last: deque[tuple[Tensor, Tensor, int | None]] = deque(
            maxlen=4
        )  # attention has its softmax too: few are kept

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call the function, and keep what it was made of where it is an end."""
        given = dict(kwargs or {})
        result = func(*args, **given)
        name = getattr(func, "__name__", "")
        if name in _ENDING and isinstance(result, Tensor):
            source = args[0] if args else given.get("input")
            dim = given.get("dim", args[1] if len(args) > 1 else None)
            axis = 1 if dim is None else int(dim) % result.ndim
            if isinstance(source, Tensor) and source.shape == result.shape:
                self._last.append((result, source, axis if "softmax" in name else None))
        return result

    def of(self, output: object) -> Float[Tensor, "b k h w"] | None:
        """Return what the output of a network was made of by its last step; None where that was not seen."""
        values = tensor_of(output)
        for result, source, axis in reversed(self._last):
            if result is values and axis in (None, 1):
                return source
            # The classes may have been moved behind it: what is a view of the result is the same view of its source.
            same = values.numel() == result.numel() and values.data_ptr() == result.data_ptr()
            alike = source.contiguous() if result.is_contiguous() else source
            if same and result.stride() == alike.stride() and axis in (None, _axis_of(values, result)):
                return alike.as_strided(values.shape, values.stride(), alike.storage_offset())
        return None


def _axis_of(values: Tensor, result: Tensor) -> int | None:
    """Return the axis of `result` that the classes of `values`, a view of it, lie along; None where none does."""
    pairs = zip(result.shape, result.stride(), strict=True)
    return next((n for n, pair in enumerate(pairs) if pair == (values.shape[1], values.stride(1))), None)


_ENDING = ("softmax", "log_softmax", "sigmoid", "expit", "special_expit", "logsigmoid", "log_sigmoid")


def run_for_logits(run: Callable[[], object], meaning: Output, *, argument: bool) -> Float[Tensor, "b k h w"]:
    """Run a network and return its logits; see `logits_of`.

    Args:
        run: the pass.
        meaning: what the output's numbers are.
        argument: whether the logits are the argument of its last softmax or sigmoid, which was seen before.

    Raises:
        ProbeError: there is no dense output, or its last step was another this time.
    """
    if not argument:
        return logits_of(run(), meaning)
    with Arguments() as seen:
        output = run()
    logits: Tensor | None = seen.of(output)
    if logits is None:
        raise ProbeError(
            "the network does not end in the softmax or sigmoid that it ended in before: return its logits"
        )
    return logits

"""ONNX files, converted to modules by onnx2torch and compared with what ONNX itself gives.

ONNX has no gradients, so that a file must become a network of torch first. The converter knows the operators up to
opset 17 or so; what it makes of a file is compared, on one image, with ONNX's own reference.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from segcam._compat import require
from segcam.errors import InputError, first_line, out_of_memory
from segcam.files import plain_file, sha256, user_path
from segcam.networks.inputs import NetworkInputs
from segcam.networks.sources import SOURCES, Built, Request, Source

OPSET = 17
"""The newest version of ONNX's operators that the converter knows well."""
SIDES = (64, 224)
"""Pixels a side of the image that is compared, where the file leaves them open."""
TOLERANCE = 1e-3
"""Greatest difference from ONNX's own reference, as a share of its greatest value."""
BUILD = "build the network in Python, and name that with its weights"
EXPORT = f", or export it again: torch.onnx.export(network, images, FILE, dynamo=False, opset_version={OPSET})"


class OnnxNetwork(nn.Module):
    """A network that was converted from an ONNX file of one input; of several outputs the first is returned."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Return the first output."""
        with warnings.catch_warnings():  # the converter's slices are of a form that torch will give up
            warnings.filterwarnings("ignore", message="Using a non-tuple sequence")
            output = self.network(images)
        first: Tensor = output[0] if isinstance(output, (tuple, list)) else output
        return first


def _build(request: Request) -> Built:
    for package in ("onnx", "onnx2torch"):
        require(package, "onnx", f"network '{request.source}'")
    path = user_path(request.name, "the ONNX file")
    plain_file(path, "the ONNX file")
    if request.arguments:
        raise InputError(f"{path} says how its network is built: leave out arguments")
    if request.weights is not None:
        raise InputError(f"{path} holds its own weights: leave out others")
    content = _read(path)
    inputs = _inputs(content)
    if len(inputs) != 1:
        raise InputError(f"{path} takes {len(inputs)} inputs ({', '.join(i.name for i in inputs)}), not one: {BUILD}")
    dims = [dim.dim_value for dim in inputs[0].type.tensor_type.shape.dim]  # 0 where the file leaves it open
    if len(dims) != 4:
        raise InputError(f"{path} takes {len(dims)} dimensions, not (images, channels, rows, columns): {BUILD}")
    version = next((one.version for one in content.opset_import if one.domain in ("", "ai.onnx")), OPSET)
    where, cure = f"{path} (opset {version})", BUILD + (EXPORT if version > OPSET else "")
    model = OnnxNetwork(_converted(content, version, where, cure))
    compared = _compare(model, content, (inputs[0].name, dims), where, cure)
    size = (dims[2], dims[3]) if dims[2] and dims[3] else None
    facts = {"library": "onnx2torch", "opset": int(version), "compared_at": list(compared)}
    return Built(model, None, NetworkInputs(size), sha256(path, "the ONNX file"), weighted=True, facts=facts)


def _read(path: Path) -> Any:
    import onnx  # noqa: PLC0415  (an extra)

    try:
        content = onnx.load(str(path))
        onnx.checker.check_model(content)
    except Exception as error:  # a damaged file may raise any
        if out_of_memory(error):
            raise
        raise InputError(f"{path} cannot be read as ONNX ({first_line(error)}): export it again") from error
    return content


def _inputs(content: Any) -> list[Any]:
    """Return the inputs; old files list weights among them."""
    held = {one.name for one in content.graph.initializer}
    return [one for one in content.graph.input if one.name not in held]


def _converted(content: Any, version: int, where: str, cure: str) -> nn.Module:
    import onnx2torch  # noqa: PLC0415  (an extra)
    from onnx.version_converter import convert_version  # noqa: PLC0415

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            plain = type(content)()
            plain.CopyFrom(convert_version(content, OPSET) if version > OPSET else content)
            model: nn.Module = onnx2torch.convert(_folded(plain))
    except Exception as error:  # of operators that neither knows
        if out_of_memory(error):
            raise
        raise InputError(
            f"{where} cannot be turned into a network of torch ({type(error).__name__}: {first_line(error)}), and ONNX "
            f"has no gradients: {cure}"
        ) from error
    return model


def _folded(content: Any) -> Any:
    """Return a model whose constants, and equal weights that exporters keep once, all stand as weights of their own."""
    import onnx  # noqa: PLC0415  (an extra)

    graph = content.graph
    while True:
        weights = {one.name: one for one in graph.initializer}
        folded = []
        for node in graph.node:
            value = None
            if node.op_type == "Identity":
                value = weights.get(node.input[0])
            elif node.op_type == "Constant" and node.attribute[0].name == "value":
                value = node.attribute[0].t
            if value is not None:
                copy = onnx.TensorProto()
                copy.CopyFrom(value)
                copy.name = node.output[0]
                graph.initializer.append(copy)
                folded.append(node)
        if not folded:
            return content
        for node in folded:
            graph.node.remove(node)


def _compare(
    model: nn.Module, content: Any, given: tuple[str, list[int]], where: str, cure: str
) -> tuple[int, int, int, int]:
    """See that the converted network gives what ONNX does, and return the shape of the input that was compared.

    Raises:
        InputError: it does not, or neither runs on the image.
    """
    from onnx.reference import ReferenceEvaluator  # noqa: PLC0415  (an extra)

    name, dims = given
    problem: Exception | None = None
    for side in SIDES:
        shape = (dims[0] or 1, dims[1] or 3, dims[2] or side, dims[3] or side)
        image = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
        try:
            wanted: Any = ReferenceEvaluator(content).run(None, {name: image})
        except Exception as error:  # of sizes that the network does not take
            problem = error
            continue
        try:
            with torch.no_grad():
                have = model.eval()(torch.from_numpy(image)).numpy()
        except Exception as error:  # of an operator that was converted wrongly
            said = f"{type(error).__name__}: {first_line(error)}"
            raise InputError(f"{where}: what onnx2torch made of it fails ({said}): {cure}") from error
        if have.shape != wanted[0].shape or not np.allclose(have, wanted[0], TOLERANCE, TOLERANCE * np.abs(have).max()):
            raise InputError(f"{where}: what onnx2torch made of it gives other values than ONNX does: {cure}")
        return shape
    assert problem is not None  # as there are sizes
    raise InputError(f"{where}: ONNX itself cannot run it ({first_line(problem)}): {cure}") from problem


SOURCES.add(
    Source(
        name="onnx",
        form="onnx:FILE",
        summary="an ONNX file of convolutions, converted by onnx2torch and compared with ONNX's own reference",
        build=_build,
    )
)

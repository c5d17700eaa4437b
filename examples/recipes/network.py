"""A network: `segcam/models/tiny.py`.

Its logits have the input's size (`segcam.models.to_input` upsamples them), and a `relu` layer has the depth of the
convolution before it. Layers may give tokens `(b, n, c)`, which the stride puts on their grid, or `(b, h, w, c)` with
`form="NHWC"`. `variant` names the parameter that users set behind a colon, as in `segformer:b1`; `pretrain` loads
weights. Import slow libraries inside `build`.
"""

from torch import nn

from segcam.models import MODELS, Architecture, Parameters
from segcam.probe.layers import Layer, Point


def build(classes: int, parameters: Parameters) -> nn.Module:
    """Return a network with random weights."""
    width = int(parameters["width"])
    return nn.Sequential(nn.Conv2d(3, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, classes, 1))


def layers(_model: nn.Module, point: Point) -> list[Layer]:
    """Return its layers in the order of execution."""
    module, label = ("0", "Encoder 1") if point == "conv" else ("1", "Encoder 1 ReLU")
    return [Layer(module, label, stage=1, depth=0, role="encoder", stride=1, point=point)]


MODELS.add(Architecture("tiny", "Tiny", "one convolution and a head", "segcam", {"width": 8}, build, layers))

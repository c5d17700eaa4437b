"""One forward and one backward pass: activations and gradients of all layers, of what a target explains.

capture = Probe(network, "backbone.*")(images, Target(class_id=1))
"""

from segcam.probe.captures import Capture
from segcam.probe.layers import Layer, find_layers
from segcam.probe.probe import Probe
from segcam.probe.targets.target import Target

__all__ = ["Capture", "Layer", "Probe", "Target", "find_layers"]

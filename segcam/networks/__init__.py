"""Networks of one's own: where they come from, and how they want their images."""

from segcam.networks.inputs import NetworkInputs, read_inputs
from segcam.networks.opening import OwnNetwork, open_network
from segcam.networks.preparing import Prepared, prepare

__all__ = ["NetworkInputs", "OwnNetwork", "Prepared", "open_network", "prepare", "read_inputs"]

"""Makes torchvision importable before any test module, or a peer, imports it."""

from segcam._compat import mend_torchvision

mend_torchvision()

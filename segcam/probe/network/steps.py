"""Steps: what autograd calls the operations of a forward pass, the same whatever the device and the library."""

from __future__ import annotations

import re
from typing import Any


def name_of(node: Any) -> str:
    """Return a node's operation without 'Backward' and what names a library or kernel: 'Relu', 'Convolution'."""
    return re.sub(r"^(Native|Cudnn|Miopen|Mkldnn)|Backward\d*$", "", node.name().rpartition("::")[2])

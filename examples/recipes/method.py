"""A gradient method: `segcam/methods/positive_grad_cam.py`. Its slow twin is in method_twin.py.

It gives the channels' weights `(b, c)`, or the map before ReLU `(b, h, w)`; the rest is shared. A method that runs the
network itself is `@method("run", ...)` of a `Subject` and a layer; it raises `NotApplicableError` with the reason where
it has no map; arguments with a default are parameters that profiles can set. With `scope="input", fuses=True` it makes
one map of the input of what the shared pass gave of all layers, `subject.capture`, and runs nothing.
"""

from jaxtyping import Float
from torch import Tensor

from segcam.methods import method
from segcam.methods.material.pair import Pair


@method(label="Positive Grad-CAM", family="cam")
def positive_grad_cam(pair: Pair) -> Float[Tensor, "b c"]:
    """Channels weighted by the mean of their positive gradients, positive part.

    `w_k = mean over cells of ReLU(G_k)`, `L = ReLU(sum_k w_k A_k)`.

    Source: segcam.
    """
    return pair.positive_gradients.mean((2, 3))

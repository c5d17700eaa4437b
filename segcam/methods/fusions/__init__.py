"""Methods that make one map of the input from all layers: Winsor-CAM, RefineCAM, FullGrad."""

from segcam.methods.fusions import full_grad, refine_cam, winsor_cam

__all__ = ["full_grad", "refine_cam", "winsor_cam"]

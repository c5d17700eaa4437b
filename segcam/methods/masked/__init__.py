"""Methods that look at the score behind many masks: of the image (RISE, Sobol, HSIC, segments), of a layer's cells."""

from segcam.methods.masked import hsic, recipro_cam, rise, segment_ablation, sobol

__all__ = ["hsic", "recipro_cam", "rise", "segment_ablation", "sobol"]

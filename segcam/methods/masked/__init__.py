"""Methods that look at the score behind masks: of the image (RISE, Sobol, HSIC, segments, DEA), of a layer's cells."""

from segcam.methods.masked import dea, hsic, recipro_cam, rise, segment_ablation, sobol

__all__ = ["dea", "hsic", "recipro_cam", "rise", "segment_ablation", "sobol"]

"""Methods that look at the score of the image seen through many masks: RISE, Sobol indices, HSIC, segments."""

from segcam.methods.masked import hsic, rise, segment_ablation, sobol

__all__ = ["hsic", "rise", "segment_ablation", "sobol"]

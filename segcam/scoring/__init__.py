"""What maps are measured against: masks, edges and distances on each layer's grid; mean IoU; agreement of maps.

scenery = Scenery.of(batch)
scores = segcam.metrics.measure(maps, scenery.on(maps.shape[2:]), ["energy_inside"])
"""

from segcam.scoring.agreement import agreement, spearman, ssim
from segcam.scoring.miou import confusion, iou, mean_iou
from segcam.scoring.overlap import best_threshold, overlap_curve
from segcam.scoring.reference import Reference, Scenery

__all__ = [
    "Reference",
    "Scenery",
    "agreement",
    "best_threshold",
    "confusion",
    "iou",
    "mean_iou",
    "overlap_curve",
    "spearman",
    "ssim",
]

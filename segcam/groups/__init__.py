"""Groups of maps: images of a data set whose maps are alike, and whether they are further apart than by chance.

A network that looks at a mark in the corner of some photographs has maps of two kinds. Nobody sees that in ten maps;
grouped, it shows. It needs numpy and scikit-learn alone: a run is read where there is no torch.

Source: the idea is Lapuschkin et al., 'Unmasking Clever Hans predictors and assessing what machines really learn',
Nature Communications 10, 2019 (spectral relevance analysis). Chance is after Tibshirani, Walther and Hastie,
'Estimating the number of clusters in a data set via the gap statistic', JRSS B 63, 2001, and Liu, Hayes, Nobel and
Marron, 'Statistical significance of clustering', JASA 103, 2008; halves are after Hennig, 'Cluster-wise assessment of
cluster stability', Computational Statistics and Data Analysis 52, 2007; the valley is Hartigan and Hartigan, 'The dip
test of unimodality', Annals of Statistics 13, 1985. That places of objects are taken out is ours, and that the valley
is looked for between a group and as many of its neighbours.
"""

from segcam.groups.cuts import FEWEST, SMALLEST
from segcam.groups.found import FEW, STABLE, WITHOUT, Groups
from segcam.groups.grouping import DRAWS, HALVES, LARGEST, group_maps, group_points
from segcam.groups.points import map_points
from segcam.groups.valley import dip

__all__ = [
    "DRAWS",
    "FEW",
    "FEWEST",
    "HALVES",
    "LARGEST",
    "SMALLEST",
    "STABLE",
    "WITHOUT",
    "Groups",
    "dip",
    "group_maps",
    "group_points",
    "map_points",
]

"""Grad-CAM of every convolution of a network of your own, for its predicted pixels of class 1."""

import torch
from segcam import Probe, Target, grad_cam
from torch import nn
from torchvision.models.segmentation import lraspp_mobilenet_v3_large

network = lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=21)  # any nn.Module
images = torch.rand(2, 3, 128, 160)  # prepared as your network wants them
capture = Probe(network, "backbone.*", kind=nn.Conv2d)(images, Target(class_id=1, pixels="predicted"))
for layer in capture.layers:
    maps = capture.maps(grad_cam, layer)  # (2, h, w) on the layer's own grid; NaN where nothing is predicted
    print(layer.label, tuple(maps.shape), f"blank maps: {int((maps.amax((1, 2)) == 0).sum())}")

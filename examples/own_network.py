"""Grad-CAM of every encoder convolution of a network, as a picture."""

import matplotlib.pyplot as plt
import torch
from segcam import Probe, Target, grad_cam
from segcam.models import create
from skimage.data import chelsea

network = create("unet", classes=2)  # untrained: put your own nn.Module here
image = torch.from_numpy(chelsea()[:288, :448]).permute(2, 0, 1)[None] / 255  # prepared as your network wants it
capture = Probe(network, "encoders.*", kind=torch.nn.Conv2d)(image, Target(class_id=1))
figure, panels = plt.subplots(2, 5, figsize=(12, 4), layout="compressed", subplot_kw={"xticks": [], "yticks": []})
for layer, panel in zip(capture.layers, panels.flat, strict=True):
    panel.imshow(capture.maps(grad_cam, layer)[0].numpy())
    panel.set_title(layer.label)
figure.savefig("maps.png")

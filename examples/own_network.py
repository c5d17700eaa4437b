"""What a network looks at: maps of its layers, their scores, a picture and a page."""

import segcam
from segcam.models import create
from skimage.data import chelsea

network = create("unet", classes=2)  # untrained: put your own nn.Module here
explained = segcam.explain(network, chelsea(), class_id=1)  # or your files, a folder, a DataLoader
explained.show().savefig("maps.png")
print(explained.scores.groupby("layer", sort=False)[["edge_alignment", "energy_gain"]].mean())
explained.save("mine/")  # overlays at the photographs' own size, maps, and a page that opens from disk

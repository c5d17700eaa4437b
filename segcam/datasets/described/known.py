"""Known data sets: their classes, the values and colours of their masks, and how their folders are laid out."""

from __future__ import annotations

from dataclasses import dataclass, field

from segcam.samples import IGNORE, Split

Colour = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Labels:
    """What the masks of a known data set hold.

    Attributes:
        values: each class's values in masks of one channel, in the order of the classes.
        ignored: values that belong to no class.
        colours: each class's colours in coloured masks; empty where there are none.
        ignored_colours: colours that belong to no class.
        source: where that is written.
    """

    values: dict[str, tuple[int, ...]]
    ignored: tuple[int, ...]
    colours: dict[str, tuple[Colour, ...]] = field(default_factory=dict)
    ignored_colours: tuple[Colour, ...] = ()
    source: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """A folder of photographs and the folder of their masks, below the root; subfolders are looked into.

    Attributes:
        images: the folder of the photographs.
        masks: the folder of the masks, in which each lies as its photograph does in the other.
        image: how photographs are named, with `{name}` for what a mask's name has in common with it.
        mask: how masks are named.
        split: the split that these photographs are.
        above: what their ids begin with.
    """

    images: str = "images"
    masks: str = "masks"
    image: str = "{name}"
    mask: str = "{name}"
    split: Split | None = None
    above: str = ""


@dataclass(frozen=True, slots=True)
class Layout:
    """How a known data set lies on the disk.

    Attributes:
        labels: what its masks hold: a key of `LABELS`.
        places: in which folders; those that are there are looked into.
        lists: files that name the photographs of a split, a line each; where there are any, others are left out.
        below: folders that the root may be above.
    """

    labels: str
    places: tuple[Place, ...]
    lists: dict[Split, str] = field(default_factory=dict)
    below: tuple[str, ...] = ()


def _rows(text: str) -> dict[str, tuple[Colour, ...]]:
    """Read 'name: r g b, r g b' lines."""
    rows = (line.split(":") for line in text.strip().splitlines())
    return {name.strip(): tuple(_colour(part) for part in colours.split(",")) for name, colours in rows}


def _colour(text: str) -> Colour:
    red, green, blue = map(int, text.split())
    return red, green, blue


_CITYSCAPES_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
_CITYSCAPES = _rows("""
road: 128 64 128
sidewalk: 244 35 232
building: 70 70 70
wall: 102 102 156
fence: 190 153 153
pole: 153 153 153
traffic light: 250 170 30
traffic sign: 220 220 0
vegetation: 107 142 35
terrain: 152 251 152
sky: 70 130 180
person: 220 20 60
rider: 255 0 0
car: 0 0 142
truck: 0 0 70
bus: 0 60 100
train: 0 80 100
motorcycle: 0 0 230
bicycle: 119 11 32
""")
_CITYSCAPES_VOID = _rows(
    "void: 0 0 0, 111 74 0, 81 0 81, 250 170 160, 230 150 140, 180 165 180, 150 100 100, 150 120 90, 0 0 90, 0 0 110"
)["void"]
# the eleven classes of Badrinarayanan et al. (SegNet), each with the colours of those of the 32 that it takes in
_CAMVID = _rows("""
sky: 128 128 128
building: 128 0 0, 192 0 128, 0 128 64, 64 0 64, 64 192 0
pole: 192 192 128, 0 0 64
road: 128 64 128, 128 0 192, 192 0 64
pavement: 0 0 192, 64 192 128, 128 128 192
tree: 128 128 0, 192 192 0
sign symbol: 192 128 128, 128 128 64, 0 64 64
fence: 64 64 128
car: 64 0 128, 64 128 192, 192 128 192, 192 64 128, 128 64 64
pedestrian: 64 64 0, 192 128 64, 64 0 192, 64 128 64
bicyclist: 0 128 192, 192 0 192
""")
_VOC = _rows("""
background: 0 0 0
aeroplane: 128 0 0
bicycle: 0 128 0
bird: 128 128 0
boat: 0 0 128
bottle: 128 0 128
bus: 0 128 128
car: 128 128 128
cat: 64 0 0
chair: 192 0 0
cow: 64 128 0
diningtable: 192 128 0
dog: 64 0 128
horse: 192 0 128
motorbike: 64 128 128
person: 192 128 128
pottedplant: 0 64 0
sheep: 128 64 0
sofa: 0 192 0
train: 128 192 0
tvmonitor: 0 64 128
""")
_ADE20K = """
wall, building, sky, floor, tree, ceiling, road, bed, windowpane, grass, cabinet, sidewalk, person, earth, door, table,
mountain, plant, curtain, chair, car, water, painting, sofa, shelf, house, sea, mirror, rug, field, armchair, seat,
fence, desk, rock, wardrobe, lamp, bathtub, railing, cushion, base, box, column, signboard, chest of drawers, counter,
sand, sink, skyscraper, fireplace, refrigerator, grandstand, path, stairs, runway, case, pool table, pillow,
screen door, stairway, river, bridge, bookcase, blind, coffee table, toilet, flower, book, hill, bench, countertop,
stove, palm, kitchen island, computer, swivel chair, boat, bar, arcade machine, hovel, bus, towel, light, truck, tower,
chandelier, awning, streetlight, booth, television receiver, airplane, dirt track, apparel, pole, land, bannister,
escalator, ottoman, bottle, buffet, poster, stage, van, ship, fountain, conveyer belt, canopy, washer, plaything,
swimming pool, stool, barrel, basket, waterfall, tent, bag, minibike, cradle, oven, ball, food, step, tank, trade name,
microwave, pot, animal, bicycle, lake, dishwasher, screen, blanket, sculpture, hood, sconce, vase, traffic light, tray,
ashcan, fan, pier, crt screen, plate, monitor, bulletin board, shower, radiator, glass, clock, flag
"""
_ADE20K_NAMES = [name.strip() for name in _ADE20K.replace("\n", " ").split(",")]

LABELS = {
    "cityscapes": Labels(
        {name: (value,) for name, value in zip(_CITYSCAPES, _CITYSCAPES_IDS, strict=True)},
        tuple({*range(35), IGNORE} - {*_CITYSCAPES_IDS}),
        _CITYSCAPES,
        _CITYSCAPES_VOID,
        "Cordts et al., CVPR 2016: the 19 classes that are evaluated, by their ids",
    ),
    "cityscapes-train": Labels(
        {name: (i,) for i, name in enumerate(_CITYSCAPES)},
        (IGNORE,),
        source="Cordts et al., CVPR 2016: the 19 classes that are evaluated, by their train ids",
    ),
    "camvid": Labels(
        {name: (i,) for i, name in enumerate(_CAMVID)},
        (len(_CAMVID), IGNORE),
        _CAMVID,
        ((0, 0, 0),),
        "Brostow et al., 2009; eleven classes as Badrinarayanan et al. (SegNet), TPAMI 2017, group the 32",
    ),
    "voc": Labels(
        {name: (i,) for i, name in enumerate(_VOC)},
        (IGNORE,),
        _VOC,
        ((224, 224, 192),),
        "Everingham et al., IJCV 2010",
    ),
    "ade20k": Labels(
        {name: (i,) for i, name in enumerate(_ADE20K_NAMES, start=1)},
        (0, IGNORE),
        source="Zhou et al., CVPR 2017: the 150 classes of the scene parsing benchmark; 0 is 'other'",
    ),
}


def _by_folders(
    labels: str, images: str, masks: str, splits: dict[str, Split], names: tuple[str, str], below: str
) -> Layout:
    """Return a layout with a folder of photographs and one of masks for each split."""
    places = [Place(images.format(f), masks.format(f), *names, split) for f, split in splits.items()]
    return Layout(labels, tuple(places), below=(below,))


_OFFICIAL: dict[str, Split] = {"train": "train", "val": "val", "test": "test"}
# the test masks are not public: the official validation images are tested on, others are held out for validation
_TESTED: dict[str, Split] = {"train": "train", "val": "test"}

_LONG: dict[str, Split] = {"training": "train", "validation": "test"}
_SAME = ("{name}", "{name}")

LAYOUTS: dict[str, tuple[Layout, ...]] = {
    "camvid": (
        _by_folders("camvid", "{}", "{}annot", _OFFICIAL, _SAME, "CamVid"),
        _by_folders("camvid", "{}", "{}_labels", _OFFICIAL, ("{name}", "{name}_L"), "CamVid"),
        Layout("camvid", (Place("701_StillsRaw_full", "LabeledApproved_full", mask="{name}_L"),), below=("CamVid",)),
    ),
    "cityscapes": tuple(
        _by_folders(
            *(labels, "leftImg8bit/{}", "gtFine/{}", _TESTED),
            *(("{name}_leftImg8bit", f"{{name}}_gtFine_{ending}"), "cityscapes"),
        )
        for labels, ending in (("cityscapes", "labelIds"), ("cityscapes-train", "labelTrainIds"))
    ),
    "ade20k": (
        _by_folders(
            *("ade20k", "images/{}", "annotations/{}", _LONG),
            *(_SAME, "ADEChallengeData2016"),
        ),
    ),
    "voc": (
        Layout(
            "voc",
            (Place("JPEGImages", "SegmentationClass"),),
            {"train": "ImageSets/Segmentation/train.txt", "test": "ImageSets/Segmentation/val.txt"},
            ("VOCdevkit/VOC2012", "VOC2012", "VOCdevkit/VOC2007", "VOC2007"),
        ),
    ),
}
"""The ways in which each known data set is laid out; the first of which a folder holds masks is taken."""

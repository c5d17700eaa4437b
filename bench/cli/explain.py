"""The command `explain`: a network of the user's, from one command to the page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import Device, DeviceOption, OutOption, SetOption, WaitOption, YesOption, path_of
from segcam.files import user_path


def explain(
    source: Annotated[
        str,
        typer.Argument(
            help="The network: FILE.py:FUNCTION, module:FUNCTION, torchvision:NAME, hf:FOLDER, smp:CLASS, onnx:FILE, a "
            "network of segcam's (timm_unet:resnet18), or a checkpoint that segcam wrote."
        ),
    ],
    images: Annotated[Path, typer.Option("--images", help="Folder of photographs, or one photograph.")],
    masks: Annotated[
        Path | None, typer.Option("--masks", help="Folder of their masks; without, what the network predicts is taken.")
    ] = None,
    weights: Annotated[
        list[str] | None, typer.Option("--weights", help="Files of weights; several are levels, as of epochs.")
    ] = None,
    level: Annotated[
        list[str] | None, typer.Option("--level", help="Name of each file of weights, or one such as 'epoch {n}'.")
    ] = None,
    classes: Annotated[
        list[str] | None, typer.Option("--classes", help="Classes to explain: cat,dog, or '{cat, dog}' as one.")
    ] = None,
    names: Annotated[
        list[str] | None, typer.Option("--names", help="Names of all the network's classes, in their order.")
    ] = None,
    arg: Annotated[
        list[str] | None, typer.Option("--arg", help="Argument that builds the network: name=value.")
    ] = None,
    prefix: Annotated[str | None, typer.Option("--prefix", help="What the weights' names begin with.")] = None,
    ignore: Annotated[
        list[str] | None, typer.Option("--ignore", help="Pattern of names in the weights that belong to no network.")
    ] = None,
    layers: Annotated[
        list[str] | None, typer.Option("--layers", help="Path or pattern of layers; '!PATTERN' leaves out.")
    ] = None,
    most_layers: Annotated[str, typer.Option("--most-layers", help="How many layers at most, or all.")] = "",
    metric: Annotated[list[str] | None, typer.Option("--metric", help="Metric; by default all.")] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            help="What the output means (logits, multilabel, ...), or which part of it is read.",
        ),
    ] = None,
    element: Annotated[
        str | None, typer.Option("--element", help="Which part of what it returns is the output: logits, 0, aux.0.")
    ] = None,
    preprocess: Annotated[
        list[str] | None,
        typer.Option("--preprocess", help="A config file, or mean=[..], std=[..], range, order, size, multiple."),
    ] = None,
    size: Annotated[
        int | None, typer.Option("--size", help="Pixels of the side that photographs are brought to.")
    ] = None,
    resize: Annotated[str | None, typer.Option("--resize", help="pad, squash or none.")] = None,
    name: Annotated[str, typer.Option("--name", help="What tables and figures call the network.")] = "",
    check: Annotated[
        bool, typer.Option("--check", help="Only say how network and photographs are read, and draw one, in seconds.")
    ] = False,
    out: OutOption = None,
    device: DeviceOption = Device.AUTO,
    set_: SetOption = None,
    yes: YesOption = False,
    wait: WaitOption = False,
) -> None:
    """Explain a network of your own on your photographs: scores, tables, figures and a page."""
    from bench.cli import stages
    from bench.explaining.asked import Asked
    from bench.output import terminal

    asked = Asked(
        source=source,
        images=user_path(images, "--images"),
        masks=path_of(masks, "--masks"),
        arguments=arg or (),
        weights=weights or (),
        levels=level or (),
        prefix=prefix,
        ignore=ignore or (),
        element=element,
        classes=classes or (),
        names=names or (),
        layers=layers or (),
        most_layers=most_layers,
        metrics=metric or (),
        output=output,
        inputs=preprocess or (),
        size=size,
        resize=resize,
        name=name,
        settings=set_ or (),
    )
    options = stages.Options(None, path_of(out, "--out"), device, download=False, yes=yes, wait=wait)
    if check:
        stages.check(asked, options)
        return
    if not terminal.told(stages.explain(asked, options)):
        raise typer.Exit(1)

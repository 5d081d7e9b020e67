"""What is said of a model beside its name: its class's arguments, outputs, inputs and task."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any, get_type_hints

import typer

from oakpoint.models.option_texts import model_options

_PANEL = "The network"


def _option(text: str, *names: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(*names, help=text, show_default=False, rich_help_panel=_PANEL)
    return option


Arg = Annotated[
    list[str] | None, _option("NAME=VALUE: an argument of package.module:Class; may be given several times.", "--arg")
]
Output = Annotated[
    list[str] | None,
    _option("NEW=NAME or NAME: an output to take, under which name; may be given several times.", "--output"),
]
Shape = Annotated[
    list[str] | None, _option("NAME=1x3x320x320: shape of an input; may be given several times.", "--shape")
]
TaskName = Annotated[
    str | None,
    _option("What the outputs mean: keypoints, boxes, classes, mask or tensors. Default: found out.", "--task"),
]
Color = Annotated[
    str | None, _option("The image's channels: grey (default for 1), bgr or rgb (default for 3).", "--color")
]
Mean = Annotated[
    str | None, _option("Subtracted from pixels, in the network's words: 0.5, or one for each channel.", "--mean")
]
Std = Annotated[str | None, _option("The difference is divided by it: numbers as for --mean.", "--std")]
Scale = Annotated[str | None, _option("The difference is multiplied with it. Default: 1/255.", "--scale")]
Normalize = Annotated[str | None, _option("imagenet: ImageNet's usual --mean and --std.", "--normalize")]
Range = Annotated[
    str | None,
    _option("0-1 or 0-255: of which pixels --mean, --std, --scale speak. Default: seen from them.", "--range"),
]
Resize = Annotated[
    str | None,
    _option("Images are brought to size by stretch (default), crop, letterbox or letterbox:114.", "--resize"),
]


_OPTIONS: dict[str, Any] = {
    "arg": Arg,
    "output": Output,
    "shape": Shape,
    "task": TaskName,
    "color": Color,
    "mean": Mean,
    "std": Std,
    "scale": Scale,
    "normalize": Normalize,
    "pixel_range": Range,
    "resize": Resize,
}


def with_model_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The same command with the options of ``_OPTIONS``, which it is given as one argument, ``said: ModelOptions``."""

    @functools.wraps(command)
    def told_command(**arguments: Any) -> Any:
        given = {name: arguments.pop(name) for name in _OPTIONS}
        return command(said=model_options(**given), **arguments)

    own = {name: hint for name, hint in get_type_hints(command, include_extras=True).items() if name != "said"}
    parameters = [p for p in inspect.signature(command).parameters.values() if p.name != "said"]
    further = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None) for name in _OPTIONS]
    hints = own | _OPTIONS
    told_command.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [parameter.replace(annotation=hints[parameter.name]) for parameter in (*parameters, *further)]
    )
    told_command.__annotations__ = hints
    return told_command

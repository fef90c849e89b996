"""Write a model into one file that runs without anychan, and check that the file answers as the model does."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import torch
from torch.export import ExportedProgram

from anychan import __version__
from anychan._files import replacing
from anychan.adaptation import AnyChannelModel
from anychan.adaptation._image_path import told_sides
from anychan.channels import MEASURED, ChannelSet, ChannelsLike
from anychan.data import open_dataset
from anychan.exporting._accuracy import accuracy_cost, images_for_model
from anychan.exporting._check import (
    CheckFailedError,
    Question,
    answers_of,
    check,
    compare,
    questions,
)
from anychan.exporting._formats import OPSET, SUFFIXES, Run, need_libraries, open_file, write
from anychan.exporting._graph import AllSubsets, OneSubset, tabled_subsets
from anychan.exporting._quantize import quantize_int8
from anychan.exporting._trace import UntraceableError, example, takes, trace, varying
from anychan.exporting.record import Exported
from anychan.models.files import ModelInfo, load_model

_SHARES = "shares of the largest number that the stored type holds: 8 bits divided by 255, 16 bits by 65535"
_MEASURED = "what was measured: the stored number times its scale plus its offset, as its file or this one says"
_OTHER_SIZE = 32  # pixels by which another size differs, a multiple of what networks divide by
_ODD_SIZE = (7, 13)  # pixels by which height and width differ of an image that networks divide otherwise


def export(
    model: AnyChannelModel | str | Path,
    path: str | Path,
    channels: ChannelsLike | None = None,
    format: Literal["onnx", "torch"] = "onnx",
    *,
    subsets: Sequence[ChannelsLike] | None = None,
    info: ModelInfo | None = None,
    image_size: int | None = None,
    any_size: bool = True,
    quantize: Literal["int8"] | None = None,
    data: str | Path | None = None,
    bands: str | Path | None = None,
    split: str = "test",
    cache_dir: Path | None = None,
    replace: bool = False,
) -> Exported:
    """Write a model into one file that runs without anychan: for one channel set, or for all subsets in one graph.

    With ``channels`` the file is an ordinary network: input ``image`` (N, |S|, H, W), output ``logits`` (N, K).
    Without, it takes the planes of every subset that the model answers: ``image`` (N, |S|, H, W) with ``channels``
    int64 (|S|,), the place of each plane in the model's channel set, in any order. For channels that are no such
    subset its logits are NaN: a graph cannot refuse. A plain model takes all its channels only. Images are normalised
    as the model's are; what with is in the file, as are the names of classes and channels.

    The file is loaded and compared with the model: every subset, of every channel count batches of 1, 3 and 32 images
    of two sizes. It takes its place only if no class differs, and no logit by more than 1e-4 or, if the model's largest
    is above 1, that share of it. An ONNX file that answers otherwise for images of an odd size is made for the model's
    own size alone.

    Args:
        model: an adapted or plain model, exported as it is in evaluation mode, or a run folder or model file.
        path: of the file; folders above it are made.
        channels: the planes of a file of one channel set, in their order; None: all subsets, of a plain model all
            channels.
        subsets: those that a file of several takes, 64 at most; None: those that the model has statistics for, or all.
        format: "onnx" (opset 18, by ``torch.onnx``, one file) or "torch" (a ``.pt2`` of ``torch.export``).
        info: of a model given as such: its classes and preprocessing; None: the file does not say them.
        image_size: height and width in pixels; None: those of ``info``, or without it what the network says of itself,
            as timm's do.
        any_size: let height and width vary where the network does.
        quantize: "int8": weights in 8 bits, ONNX only.
        data: images to measure what int8 costs in accuracy; None: it is not measured.
        bands: what the planes of ``data`` are, as for ``open_dataset``; None: the data say it.
        split: of the data.
        cache_dir: where decoded images are kept; None: the user's cache folder.
        replace: write over a file that is there.

    Returns:
        What was written, and what the check found.

    Raises:
        ValueError: for an ``info`` of other channels or classes, channels that the model does not take, more than 64
            subsets or one without statistics, a strategy that no graph holds for all subsets, a network that cannot be
            traced or returns no logits, weights that are not float32, an unknown image size, unknown options or such as
            do not go together, a path that is a folder or has the suffix of the other format, or a library that is not
            installed.
        FileExistsError: if the file is there and is not to be replaced.
        CheckFailedError: if the file does not answer as the model; it is removed then.

    Example:
        >>> import tempfile, timm, torch
        >>> from anychan import adapt
        >>> model = adapt(timm.create_model("test_resnet", num_classes=5), strategy="sliced")
        >>> folder = tempfile.TemporaryDirectory()
        >>> made = export(model, f"{folder.name}/model.pt2", "RG", "torch", image_size=64)
        >>> run = torch.export.load(made.path).module()
        >>> run(torch.randn(7, 2, 96, 64)).shape
        torch.Size([7, 5])
        >>> folder.cleanup()
    """
    path = Path(path)
    _check_options(path, format, quantize, data, bands, replace=replace)
    model, info = _model_and_info(model, info)
    size = image_size
    if size is None:
        size = info.image_size if info else next(iter(told_sides(model.body)), None)
    if size is None or size < 1:
        raise ValueError(f"image_size is {size}: give a number of pixels, or the model's info")
    if data is not None and info is None:
        raise ValueError("data is given, but not the model's info, which says how its images are normalised")
    one_set = channels is not None or not model.stems
    if one_set and subsets is not None:
        raise ValueError("subsets are those of a file that takes several, and this one takes one channel set")
    planes = model.resolve(channels) if one_set else model.channels
    taken = [planes] if one_set else tabled_subsets(model, subsets)
    array = None
    if data is not None and info is not None:
        array = images_for_model(open_dataset(data, bands), split, info, taken, cache_dir)
    module = OneSubset(model, planes) if one_set else AllSubsets(model, taken)
    program, sizes = _traced(module, len(planes), size, any_size, guarded=format == "torch")
    if info is not None:
        _check_classes(module(*example(module, len(planes), sizes[0])), info)

    def written(program: ExportedProgram, file: Path) -> Run:
        dynamic = varying(program)
        description = _description(model, planes, None if one_set else taken, info, dynamic=dynamic, size=size)
        write(program, file, format, description)
        return _opened(file, format)

    with replacing(path) as temporary:
        run = written(program, temporary)
        odd = (size + _ODD_SIZE[0], size + _ODD_SIZE[1])
        varied = format == "onnx" and len(sizes) > 1 and takes(module, example(module, len(planes), odd))
        if varied and _branches(model, run, list(questions(model.channels, taken[:1], [odd], one_set))):
            program, sizes = _traced(module, len(planes), size, False, guarded=False)
            run = written(program, temporary)
        asked = list(questions(model.channels, taken, sizes, one_set))
        checked = check(model, run, asked, taken)
        int8 = None
        if quantize:
            int8 = _quantized(temporary, run, asked)
            if array is not None and info is not None:
                after = _opened(temporary, format)
                int8["accuracy"] = accuracy_cost(run, after, array, info, taken, one_set=one_set)
    return Exported(
        path=str(path),
        format=format,
        opset=OPSET if format == "onnx" else None,
        channels=planes.names,
        subsets=None if one_set else tuple(map(str, taken)),
        image_size=size,
        dynamic=tuple(varying(program)),
        bytes=path.stat().st_size,
        check=checked.to_dict(),
        int8=int8,
    )


def _check_options(
    path: Path, format: str, quantize: str | None, data: object, bands: object, *, replace: bool
) -> None:
    if format not in SUFFIXES:
        raise ValueError(f"format is {format!r}; choose from {', '.join(SUFFIXES)}")
    if quantize not in (None, "int8"):
        raise ValueError(f"quantize is {quantize!r}; there is 'int8'")
    if quantize and format != "onnx":
        raise ValueError(f"quantize is {quantize!r}, which is for the format 'onnx', not {format!r}")
    other = next((form for form, suffix in SUFFIXES.items() if form != format and path.suffix.lower() == suffix), None)
    if other is not None:
        raise ValueError(f"{path} is called as of the format {other!r}, but format is {format!r}: change one of them")
    if bands is not None and data is None:
        raise ValueError(f"bands are {str(bands)!r}, and the data that they are of are not given")
    if data is not None and not quantize:
        raise ValueError("data is to measure what quantize='int8' costs, which is not asked for")
    if path.is_dir():
        raise ValueError(f"{path} is a folder: name a file, such as {path / f'model{SUFFIXES[format]}'}")
    if path.exists() and not replace:
        raise FileExistsError(f"{path} is there already: say --replace to write over it, or choose another")
    need_libraries(format)


def _model_and_info(
    model: AnyChannelModel | str | Path, info: ModelInfo | None
) -> tuple[AnyChannelModel, ModelInfo | None]:
    """A copy of the model on the CPU in evaluation mode, and what is known of it."""
    if isinstance(model, AnyChannelModel):
        model = copy.deepcopy(model).cpu().eval()
    else:
        if info is not None:
            raise ValueError("info is given, but the model's file says it: leave it out")
        model, info = load_model(model)
    other = next((tensor.dtype for tensor in model.parameters() if tensor.dtype != torch.float32), None)
    if other is not None:
        raise ValueError(f"the model has weights in {other}; a file is made of float32: model.float() first")
    if info is not None and info.channels.names != model.channels.names:
        raise ValueError(
            f"info has the channels {info.channels}, the model {model.channels}: give the model's own info"
        )
    return model, info


def _branches(model: AnyChannelModel, run: Run, asked: list[Question]) -> bool:
    """Whether a graph answers otherwise than the model: it has one branch of those that a network takes by size."""
    try:
        found = compare(answers_of(model), run, asked)
    except CheckFailedError:
        return True
    return found.difference > found.allowed


def _check_classes(logits_NK: torch.Tensor, info: ModelInfo) -> None:
    if logits_NK.shape[-1] != len(info.classes):
        counts = f"{len(info.classes)} classes, the model gives {logits_NK.shape[-1]} logits"
        raise ValueError(f"info names {counts}: give the model's own")


def _traced(
    module: OneSubset | AllSubsets, planes: int, size: int, any_size: bool, *, guarded: bool
) -> tuple[ExportedProgram, list[tuple[int, int]]]:
    """A program that takes images of any size, if the network does, or of its own; and sizes to check it with.

    A program of torch's refuses what does not go the way it was traced, such as an image whose last map is one pixel;
    as ONNX (``guarded`` is False) it goes on, and the check shows whether it is right.
    """
    own, other = (size, size), (size + _OTHER_SIZE, size + 2 * _OTHER_SIZE)
    module.eval()
    inputs = example(module, planes, other)
    if any_size and takes(module, inputs):
        with suppress(UntraceableError):
            program = trace(module, inputs, any_size=True)
            asked = [] if not guarded else [example(module, planes, shape) for shape in (own, other)]
            if {"height", "width"} <= set(varying(program)) and all(takes(program.module(), x) for x in asked):
                return program, [own, other]
    return trace(module, example(module, planes, own), any_size=False), [own]


def _opened(path: Path, form: str) -> Run:
    """`open_file`, where an error says that the file does not run: a runtime raises whatever it likes."""
    try:
        run = open_file(path, form)
    except Exception as error:
        raise CheckFailedError(f"the file cannot be opened: {error}") from error

    def running(*inputs: torch.Tensor) -> torch.Tensor:
        try:
            return run(*inputs)
        except Exception as error:
            raise CheckFailedError(f"the file does not run: {error}") from error

    return running


def _quantized(path: Path, before: Run, asked: Sequence[Question]) -> dict[str, Any]:
    """Quantise a file in place, and how it differs from what it was."""
    bytes_before = path.stat().st_size
    weights = quantize_int8(path)
    found = compare(lambda question: before(*question.inputs), _opened(path, "onnx"), asked)
    return {"bytes_before": bytes_before, "weights": weights, "check": found.to_dict(), "accuracy": None}


def _description(
    model: AnyChannelModel,
    planes: ChannelSet,
    subsets: Sequence[ChannelSet] | None,
    info: ModelInfo | None,
    *,
    dynamic: Sequence[str],
    size: int,
) -> dict[str, Any]:
    """What a file says of itself; each entry is JSON."""
    described = info.channels.resolve(planes, unnamed=True) if info else planes
    measured = any(channel.units == MEASURED for channel in described)
    return {
        "anychan_version": __version__,
        "architecture": info.architecture if info else type(model.body).__name__,
        "strategy": model.strategy,
        "channels": list(described.names),
        "wavelengths": list(described.wavelengths),
        "subsets": None if subsets is None else [list(subset.names) for subset in subsets],
        "value_range": None if measured else [0.0, 1.0],
        "values": f"{_MEASURED if measured else _SHARES}; a pixel without a value has its channel's mean",
        **{
            key: [info.numbers.get(name, {}).get(key) if info else None for name in described.names]
            for key in ("scale", "offset", "nodata")
        },
        "mean": [channel.mean for channel in described],
        "std": [channel.std for channel in described],
        "image_size": size,
        "resize": "shorter side to image_size, antialiased bicubic, middle square",
        "dynamic": list(dynamic),
        "classes": list(info.classes) if info else None,
    }

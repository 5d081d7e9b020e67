"""The float cases of ONNX's own operator suite, each taken to a Myriad X blob and executed: how it ends.

The reusable part of ``onnx_suite.py``; a test may import it by its path and judge a sample.

*Which cases.* ``onnx.backend.test.case.node.collect_testcases(None)`` gives 1,884 with onnx 1.23. Taken are those of
the standard domain that are not the written-out form of another case (``_expanded``), with at least one float32 input,
all others whole numbers or truth values, every output float32, and at most five dimensions: 771.

*What is an input.* A camera's network has its images as inputs and its weights inside. So the values of a case that are
no float32, and those that a network keeps as parameters (``PARAMETERS``), become constants of the model; what is left
are inputs, in FP16 on the device.

*What is right.* The largest difference from the expected output is at most ``TOLERANCE`` of its largest value, infinite
and not-a-number at the same places. Where that fails, the case is asked again with what FP16 makes of its inputs, whose
outputs ONNX's own reference evaluator gives: 10,001 is 10,000 there, and no fault of a rewrite.
"""

from __future__ import annotations

import enum
import hashlib
import os
import re
import tempfile
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper
from onnx.reference import ReferenceEvaluator

from oakpoint.convert.device_graph import DeviceInput, device_graph, static_shape
from oakpoint.errors import (
    BlobError,
    CompilerError,
    ConversionError,
    NotModelledError,
    UnsupportedNetworkError,
    first_line,
)
from oakpoint.myriad.blob import Blob, read_blob
from oakpoint.myriad.compiler import COMPILER, compile_blob
from oakpoint.myriad.simulator import Simulator

Arrays: TypeAlias = dict[str, NDArray[Any]]
Lowered: TypeAlias = tuple[onnx.ModelProto, tuple[str, ...]]

TOLERANCE: Final = 1e-2
"""Share of an output's largest value: FP16 has 11 bits, and some operators are several stages."""

ALL_ZERO_TOLERANCE: Final = 1e-3
"""Where every expected value is zero: absolute."""

MAX_RANK: Final = 5
SHAVES: Final = 4
COMPILE_TIMEOUT_S: Final = 120.0

PARAMETERS: Final[dict[str, frozenset[int]]] = {
    **dict.fromkeys(("Conv", "ConvTranspose", "ConvInteger", "Gemm", "DeformConv"), frozenset({1, 2, 3})),
    **dict.fromkeys(("BatchNormalization", "InstanceNormalization", "GroupNormalization"), frozenset({1, 2, 3, 4})),
    **dict.fromkeys(("LayerNormalization", "RMSNormalization", "PRelu", "Clip"), frozenset({1, 2})),
    **dict.fromkeys(("Resize", "Upsample", "Pad", "OneHot", "Dropout"), frozenset({1, 2})),
    **dict.fromkeys(("RNN", "GRU", "LSTM"), frozenset({1, 2, 3, 5, 6, 7})),
}  # fmt: skip
"""Inputs, by operator and place, that a network has as constants even where they are float32."""


class End(enum.Enum):
    """How a case ends."""

    RIGHT = "right"
    REFUSED = "refused by us, with operator and remedy"
    TERSE = "refused by us, without a remedy"
    UNEXPLAINED = "refused by the compiler"
    WRONG = "compiled, and computes something else"
    BLOB_ERROR = "blob error"
    NOT_MODELLED = "not modelled by the simulator"
    OUT_OF_RANGE = "out of FP16's range"
    CRASHED = "crashed"


@dataclass(frozen=True)
class Case:
    """One case of the suite.

    Attributes:
        name: without ``test_``.
        operators: of its graph.
        model: float32, its parameters constants.
        inputs, outputs: float32, as the suite gives them.
    """

    name: str
    operators: tuple[str, ...]
    model: onnx.ModelProto
    inputs: Arrays
    outputs: Arrays


@dataclass(frozen=True)
class Verdict:
    """How a case ended, and in whose words."""

    case: str
    operators: tuple[str, ...]
    end: End
    reason: str = ""
    journal: tuple[str, ...] = ()


# --- the product's way to a device graph -----------------------------------------------------------------------------


def lowered(model: onnx.ModelProto) -> Lowered:
    """The one call of the product: a device graph (FP16 in and out, opset 13, static) and what was rewritten.

    An input or output may have another shape there than in ``model`` if it has as many elements, in the same order.

    Raises:
        ConversionError: the network cannot run on the device; as ``UnsupportedNetworkError`` with findings.
    """
    inputs = [DeviceInput(name=value.name, shape=static_shape(value)) for value in model.graph.input]
    with tempfile.TemporaryDirectory(prefix="onnx-suite-") as scratch:
        path = Path(scratch) / "case.onnx"
        onnx.save(model, path)
        graph = device_graph(path, inputs)
    return graph.model, tuple(applied.rewrite for applied in graph.rewrites)


# --- the cases -------------------------------------------------------------------------------------------------------


def cases() -> list[Case]:
    """The cases that count, in the suite's order."""
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return [_case(raw) for raw in collect_testcases(None) if _counts(raw)]


def _counts(raw: Any) -> bool:
    graph = raw.model.graph
    tensors = [*graph.input, *graph.output]
    if "_expanded" in raw.name or not all(value.type.HasField("tensor_type") for value in tensors):
        return False
    if any(node.domain not in ("", "ai.onnx") for node in graph.node):
        return False
    if any(len(value.type.tensor_type.shape.dim) > MAX_RANK for value in tensors):
        return False
    given = [value.type.tensor_type.elem_type for value in graph.input]
    whole = (TensorProto.INT64, TensorProto.INT32, TensorProto.BOOL)
    return (
        TensorProto.FLOAT in given
        and all(kind == TensorProto.FLOAT or kind in whole for kind in given)
        and all(value.type.tensor_type.elem_type == TensorProto.FLOAT for value in graph.output)
    )


def _case(raw: Any) -> Case:
    model = onnx.ModelProto.FromString(raw.model.SerializeToString())
    graph = model.graph
    given, expected = raw.data_sets[0]
    values = {v.name: np.asarray(a) for v, a in zip(graph.input, given, strict=True)}
    constant = [v for v in graph.input if values[v.name].dtype != np.float32 or v.name in _parameters(graph)]
    if len(constant) == len(graph.input):  # every value a parameter: the first is what it works on
        constant = [v for v in constant if v.name != next(n for n, a in values.items() if a.dtype == np.float32)]
    for value in constant:
        graph.initializer.append(numpy_helper.from_array(values.pop(value.name), value.name))
        graph.input.remove(value)
    outputs = {v.name: np.asarray(a) for v, a in zip(graph.output, expected, strict=True)}
    operators = tuple(node.op_type for node in graph.node)
    return Case(raw.name.removeprefix("test_"), operators, model, values, outputs)


def _parameters(graph: onnx.GraphProto) -> set[str]:
    """Names of the inputs that a network would have as constants."""
    return {
        name
        for node in graph.node
        for place, name in enumerate(node.input)
        if name and place in PARAMETERS.get(node.op_type, ())
    }


# --- from a case to its end ------------------------------------------------------------------------------------------


class Compilations:
    """What the compiler made of every device graph so far, in a folder: a run that is ended loses nothing.

    An entry's name is the hash of the device graph, of the compiler and its options, so a case is compiled again when
    its device graph changed and not otherwise.

    Args:
        folder: made when something is kept.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def compiled(self, model: onnx.ModelProto) -> Blob:
        """The blob of a device graph.

        Raises:
            CompilerError: the compiler refuses it, now or when it was asked before.
            BlobError: what it wrote cannot be read.
        """
        data = model.SerializeToString(deterministic=True)
        key = hashlib.sha256(f"{COMPILER} FP16 {SHAVES} no batch".encode() + data).hexdigest()
        blob, refusal = self.folder / f"{key}.blob", self.folder / f"{key}.refused"
        if refusal.exists():
            raise CompilerError(refusal.read_text())
        if not blob.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            self._compile(data, blob, refusal)
        return read_blob(blob)

    def _compile(self, data: bytes, blob: Path, refusal: Path) -> None:
        with tempfile.TemporaryDirectory(prefix="onnx-suite-") as scratch:
            path = Path(scratch) / "device.onnx"
            path.write_bytes(data)
            try:
                compile_blob(path, blob, shaves=SHAVES, input_type="FP16", timeout_s=COMPILE_TIMEOUT_S)
            except CompilerError as error:
                written = refusal.with_suffix(f".{os.getpid()}-{id(error)}")
                written.write_text(str(error))
                written.replace(refusal)
                raise


def judge(case: Case, compilations: Compilations, lower: Callable[[onnx.ModelProto], Lowered] = lowered) -> Verdict:
    """Take a case all the way, and say how it ends.

    What no one foresaw is raised: it ends as ``CRASHED``, by whoever asked (``crashed``).
    """
    journal: tuple[str, ...] = ()
    try:
        if out_of_range := _beyond_fp16(case):
            return Verdict(case.name, case.operators, End.OUT_OF_RANGE, out_of_range)
        model, journal = lower(case.model)
        end, reason = _executed(case, model, compilations)
    except NotModelledError as error:
        end = End.BLOB_ERROR if "batch" in str(error) else End.NOT_MODELLED
        reason = str(error)
    except BlobError as error:
        end, reason = End.BLOB_ERROR, str(error)
    except CompilerError as error:
        end, reason = End.UNEXPLAINED, str(error)
    except UnsupportedNetworkError as error:
        end = End.REFUSED if all(finding.remedy for finding in error.findings) else End.TERSE
        reason = str(error)
    except ConversionError as error:
        end, reason = End.TERSE, str(error)
    return Verdict(case.name, case.operators, end, _readable(reason), journal)


def crashed(case: Case, error: BaseException) -> Verdict:
    """The verdict on a case that raised something else than an error of ours."""
    return Verdict(case.name, case.operators, End.CRASHED, f"{type(error).__name__}: {first_line(error)}")


def _readable(reason: str) -> str:
    """A reason in one line, without the files of this run."""
    return re.sub(r"\S*/([0-9a-f]{64}\.blob|case\.onnx): ", "", " | ".join(reason.splitlines()))


def _beyond_fp16(case: Case) -> str:
    largest = float(np.finfo(np.float16).max)
    for name, values in (*case.inputs.items(), *case.outputs.items()):
        finite = values[np.isfinite(values)]
        if finite.size and np.abs(finite).max() > largest:
            return f"{name} holds {np.abs(finite).max():.6g}, over FP16's largest value, {largest:.0f}"
    return ""


def _executed(case: Case, model: onnx.ModelProto, compilations: Compilations) -> tuple[End, str]:
    blob = compilations.compiled(model)
    inputs = {}
    names = dict.fromkeys(tensor.name for tensor in blob.inputs)
    given = case.inputs
    if len(names) == 1 and len(given) == 1:  # a network that puts out its input has the output's name for both
        given = dict(zip(names, given.values(), strict=True))
    for tensor in blob.inputs:
        values = given[tensor.name]
        if values.size != np.prod(tensor.shape):
            return End.BLOB_ERROR, f"input {tensor.name} is {tensor.shape} in the blob, the case has {values.shape}"
        inputs[tensor.name] = values.astype(tensor.dtype.numpy).reshape(tensor.shape)
    got = _by_name(Simulator(blob, threads=1).run(inputs), model)
    if not (reason := difference(got, case.outputs)):
        return End.RIGHT, ""
    again = _reference(case, {name: values.astype(np.float16) for name, values in case.inputs.items()})
    if again and not difference(got, again):
        return End.RIGHT, "for its inputs as FP16 holds them"
    return End.WRONG, reason


def _by_name(outputs: Mapping[str, NDArray[Any]], model: onnx.ModelProto) -> Arrays:
    """Outputs under the graph's names: of an operator with several, the compiler calls the k-th ``NAME.k``."""
    found = dict(outputs)
    for node in model.graph.node:
        if len(node.output) > 1:
            for place, name in enumerate(node.output):
                numbered = [f"{stem}.{place}" for stem in (*node.output, node.name) if f"{stem}.{place}" in found]
                if name and name not in found and numbered:
                    found[name] = found.pop(numbered[0])
    return found


def _reference(case: Case, inputs: Arrays) -> Arrays:
    """Outputs of ONNX's own evaluator; none where it does not know the operator."""
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            values = ReferenceEvaluator(case.model).run(None, {k: v.astype(np.float32) for k, v in inputs.items()})
    except (RuntimeError, TypeError, ValueError, LookupError, AttributeError):
        return {}
    return dict(zip(case.outputs, (np.asarray(value) for value in values), strict=True))


def difference(got: Mapping[str, NDArray[Any]], expected: Mapping[str, NDArray[Any]]) -> str:
    """What is wrong with outputs, empty if nothing is."""
    for name, wanted in expected.items():
        if name not in got:
            return f"output {name} is missing; there are {sorted(got)}"
        values = got[name].astype(np.float64)
        if values.size != wanted.size:
            return f"output {name} is {values.shape}, expected {wanted.shape}"
        values, wanted = values.reshape(wanted.shape), wanted.astype(np.float64)
        finite = np.isfinite(wanted)
        if not np.array_equal(values[~finite], wanted[~finite], equal_nan=True):
            return f"output {name}: expected {wanted[~finite].ravel()[:3]} where it is {values[~finite].ravel()[:3]}"
        if not finite.any():
            continue
        largest = np.abs(wanted[finite]).max()
        error = np.abs(values[finite] - wanted[finite]).max()
        if not error <= (TOLERANCE * largest if largest else ALL_ZERO_TOLERANCE):
            return f"output {name} is off by {error:.3g}, its largest value is {largest:.3g}"
    return ""


def counted(verdicts: Iterable[Verdict]) -> dict[End, int]:
    """Cases of each end, every end among them."""
    ends = [verdict.end for verdict in verdicts]
    return {end: ends.count(end) for end in End}

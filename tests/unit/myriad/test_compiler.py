from __future__ import annotations

import stat
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from device_form import device_form
from onnx import TensorProto, helper, numpy_helper

from oakpoint.convert.device_graph import device_graph
from oakpoint.errors import CompilerError, CompilerUnavailableError, OutputError, UsageError
from oakpoint.myriad import compiler
from oakpoint.myriad.blob import read_blob
from oakpoint.myriad.compiler import check_shaves, compile_blob, reason_in
from oakpoint.myriad.simulator import Simulator
from oakpoint.myriad.toolchain import tool_folder

# Texts that myriad_compile 2021.3.0 wrote, but for the paths of its build machine.
ABS = """Inference Engine:
    IE version ......... 2021.3
    Build ........... 2021.3.0-2787-60059f2c755-releases/2021/3
[ ERROR ] [VPU] /home/jenkins/agent/workspace/src/graph_transformer/frontend.cpp:526 \
Failed to compile layer "desc": unsupported layer type "Abs"
"""
EINSUM = """Inference Engine:
Cannot get layer: nGraph does not support the following ONNX operations: Einsum
"""
DYNAMIC = """[ ERROR ] frontend.cpp:12 encountered dynamic node in a place
"""
FORMAT = """Cannot find reader for model format: txt and read the model: a.txt. Please check that reader library exists
"""
GENERAL = """Inference Engine:
\tAPI version ............ 2.1
\tBuild .................. 2021.3.0-3029-a8827a2ec28-mryzhov/centos_py38
\tDescription ....... API
\x1b[1;33m[Warning][VPU][Config] Deprecated option was used : VPU_MYRIAD_PLATFORM\x1b[0m
[ GENERAL_ERROR ]
/home/jenkins/src/vpu/graph_transformer/src/frontend/frontend.cpp:434 Failed to compile layer "y": [ GENERAL_ERROR ]
/home/jenkins/src/stages/interpolate.cpp:56 Current Interpolate supports 'nearest' modes only, actual cubic
"""
NOT_IN_A_LAYER = """Inference Engine:
[ GENERAL_ERROR ]
/home/jenkins/src/vpu/graph_transformer/src/middleend/allocator.cpp:12 [VPU] not enough memory
"""
WARNING_ONLY = """\x1b[1;33m[Warning][VPU][Config] Deprecated option was used : VPU_MYRIAD_PLATFORM\x1b[0m
"""
OTHER = """Inference Engine:
    IE version ......... 2021.3
Unknown exception
/home/jenkins/agent/src/file.cpp:99 something went wrong
"""


VALIDATED = """While validating ONNX node '<Node(DequantizeLinear): DequantizeLinear_1>':
Check 'backward_compatible_check || in_out_elements_equal' failed at core/src/op/reshape.cpp:186:
While validating node 'v1::Reshape Reshape_14 (s[0]:f32{}) -> (f32{?})' with friendly_name 'Reshape_14':
Requested output shape {1,8} is incompatible with input shape Shape{}
"""
TYPES = """e of type Logical_XOR: [ GENERAL_ERROR ]
/home/build/vpu/graph_transformer/src/stages/eltwise.cpp:162 Stage node e (Logical_XOR) types check error: \
input #0 has type S32
"""
IN_A_LAYER = """[ GENERAL_ERROR ]
/home/build/src/frontend/frontend.cpp:434 Failed to compile layer "LSTMSequenceIE_1037": [ GENERAL_ERROR ]  \
AssertionFailed: !expired()
"""


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (ABS, "layer 'desc': unsupported layer type \"Abs\""),
        (
            GENERAL,
            "layer 'y': interpolate.cpp:56: Current Interpolate supports 'nearest' modes only, actual cubic",
        ),
        (NOT_IN_A_LAYER, "allocator.cpp:12: not enough memory"),
        (WARNING_ONLY, "it gave no reason"),
        (EINSUM, "ONNX operations that it does not know: Einsum"),
        (DYNAMIC, "a symbolic or dynamic size; every size must be a number"),
        (FORMAT, "the file is not an ONNX model that it can read"),
        (OTHER, "file.cpp:99: something went wrong"),
        (
            "AssertionFailed: cmxDataProducerInd < failedStageInd",
            "AssertionFailed: cmxDataProducerInd < failedStageInd (a fault inside the compiler, which names no layer: "
            "oakpoint check MODEL, with the same options, finds by trial which one it is)",
        ),
        (
            VALIDATED,
            "layer 'DequantizeLinear_1': Requested output shape {1,8} is incompatible with input shape Shape{}",
        ),
        (VALIDATED.splitlines()[2] + "\nno such shape", "layer 'Reshape_14': no such shape"),
        (TYPES, "eltwise.cpp:162: Stage node e (Logical_XOR) types check error: input #0 has type S32"),
        (IN_A_LAYER, "layer 'LSTMSequenceIE_1037': AssertionFailed: !expired()"),
        ("", "it gave no reason"),
        ("Inference Engine:\n[ INFO ] hello\n", "it gave no reason"),
        ("x" * 1000, "x" * 300),
    ],
)
def test_the_compilers_reason_in_a_line(text: str, reason: str) -> None:
    assert reason_in(text) == reason


@pytest.mark.parametrize("shaves", [-1, 0, 17, 1000])
def test_shaves_out_of_range(tmp_path: Path, shaves: int) -> None:
    with pytest.raises(UsageError, match=f"shaves: expected 1 to 16, got {shaves}"):
        compile_blob(tmp_path / "a.onnx", tmp_path / "a.blob", shaves=shaves)
    check_shaves(1)
    check_shaves(16)


def network(path: Path, operator: str, **attributes: Any) -> Path:
    """A convolution and behind it the operator, FP16, opset 13."""
    weights = numpy_helper.from_array(np.full((4, 1, 3, 3), 0.1, np.float16), "w")
    inputs = ["x", "x"] if operator == "Einsum" else ["x"]
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["input", "w"], ["x"], name="conv", pads=[1, 1, 1, 1]),
            helper.make_node(operator, inputs, ["y"], name="layer", **attributes),
        ],
        "test",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT16, (1, 1, 16, 16))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT16, (1, 4, 16, 16))],
        [weights],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7), path)
    return path


@pytest.mark.compiler
@pytest.mark.parametrize(
    ("operator", "attributes", "reason"),
    [
        ("Abs", {}, 'layer .*: unsupported layer type "Abs"'),
        ("Einsum", {"equation": "abij,abij->abij"}, "ONNX operations that it does not know: .*Einsum"),
        ("HardSigmoid", {}, 'layer .*: unsupported layer type "HardSigmoid"'),
    ],
)
def test_a_refused_network(tmp_path: Path, operator: str, attributes: dict[str, Any], reason: str) -> None:
    source = network(tmp_path / "a.onnx", operator, **attributes)
    with pytest.raises(CompilerError, match=f"^myriad_compile 2021.3.0 refused the network: {reason}"):
        compile_blob(source, tmp_path / "a.blob", shaves=6)
    assert {path.name for path in tmp_path.iterdir()} == {"a.onnx"}


@pytest.mark.compiler
def test_a_file_that_is_no_network(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_text("hello")
    with pytest.raises(CompilerError, match=r"refused the network: .*not an ONNX model|refused the network: ."):
        compile_blob(tmp_path / "a.onnx", tmp_path / "a.blob", shaves=6)
    assert {path.name for path in tmp_path.iterdir()} == {"a.onnx"}


@pytest.fixture(scope="module")
def source(small_onnx: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("device") / "a b.onnx"  # a blank in the name is no trouble
    onnx.save(device_graph(small_onnx, *device_form(small_onnx, (160, 120))).model, path)
    return path


@pytest.mark.compiler
def test_shaves_from_one_to_sixteen_and_runs_side_by_side(source: Path, tmp_path: Path) -> None:
    def compiled(shaves: int) -> tuple[int, int]:
        blob = tmp_path / f"{shaves}.blob"
        compile_blob(source, blob, shaves=shaves)
        header = read_blob(blob).header
        return header.shaves, header.cmx_slices

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(compiled, (1, 6, 9, 16))) == [(1, 1), (6, 6), (9, 9), (16, 16)]


@pytest.mark.compiler
def test_a_blob_is_readable_and_written_to_its_place_alone(source: Path, tmp_path: Path) -> None:
    before = set(Path.cwd().iterdir())
    blob = tmp_path / "folder with blank" / "a.blob"
    with pytest.raises(OutputError, match="cannot write here"):
        compile_blob(source, blob, shaves=6)
    blob.parent.mkdir()
    compile_blob(source, blob, shaves=6)
    assert [path.name for path in blob.parent.iterdir()] == ["a.blob"]
    assert stat.S_IMODE(blob.stat().st_mode) & 0o444
    assert set(Path.cwd().iterdir()) == before
    assert {tensor.name for tensor in read_blob(blob).outputs} == {"semi", "desc"}


Pretend = Callable[[str], Path]


@pytest.fixture
def pretend(tmp_path: Path) -> Pretend:
    """A cache whose compiler is a shell script."""

    def make(script: str) -> Path:
        tools = tool_folder(tmp_path / "cache")
        tools.mkdir(parents=True)
        program = tools / "myriad_compile"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        return tmp_path / "cache"

    return make


def attempt(cache: Path, tmp_path: Path, **options: Any) -> None:
    (tmp_path / "a.onnx").touch()
    compile_blob(tmp_path / "a.onnx", tmp_path / "a.blob", shaves=6, cache=cache, **options)


def test_a_compiler_that_takes_too_long_is_ended_with_its_children(tmp_path: Path, pretend: Pretend) -> None:
    cache = pretend(f"sleep 60 & echo $! > {tmp_path}/child; wait")
    start = time.monotonic()
    with pytest.raises(CompilerError, match="was ended after 1 s"):
        attempt(cache, tmp_path, timeout_s=1.0)
    assert time.monotonic() - start < 10
    child = int((tmp_path / "child").read_text())
    for _ in range(50):
        if not Path(f"/proc/{child}").exists() or "Z" in Path(f"/proc/{child}/stat").read_text().split()[2]:
            break
        time.sleep(0.1)
    else:
        pytest.fail("the compiler's child lives on")
    assert not (tmp_path / "a.blob").exists()


@pytest.mark.parametrize("script", ["exit 0", "echo half > blob; exit 3", "kill -SEGV $$"])
def test_a_compiler_that_gives_no_blob(tmp_path: Path, pretend: Pretend, script: str) -> None:
    with pytest.raises(CompilerError, match="refused the network: it gave no reason"):
        attempt(pretend(script), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"a.onnx", "cache"}


def test_a_compiler_that_may_not_be_executed(tmp_path: Path, pretend: Pretend) -> None:
    cache = pretend("exit 0")
    next(cache.glob("*/myriad_compile")).chmod(0o644)
    with pytest.raises(CompilerUnavailableError, match=r"does not start \(Permission denied\); set OAKPOINT_CACHE"):
        attempt(cache, tmp_path)


def test_it_gets_no_environment_of_the_users(tmp_path: Path, pretend: Pretend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_PRELOAD_OF_MINE", "secret")
    with pytest.raises(CompilerError):
        attempt(pretend(f"env > {tmp_path}/environment; pwd >> {tmp_path}/environment; exit 1"), tmp_path)
    text = (tmp_path / "environment").read_text()
    assert "secret" not in text
    assert f"\n{Path.cwd()}\n" not in text


@pytest.mark.parametrize(("shaves", "streams"), [(8, []), (9, ["MYRIAD_THROUGHPUT_STREAMS 1"])])
def test_more_than_eight_shaves_are_planned_for_one_stream(
    tmp_path: Path, pretend: Pretend, shaves: int, streams: list[str]
) -> None:
    (tmp_path / "a.onnx").touch()
    script = f'for last; do :; done; cat "$last" > {tmp_path}/config; echo "$@" > {tmp_path}/arguments; exit 1'
    with pytest.raises(CompilerError):
        compile_blob(tmp_path / "a.onnx", tmp_path / "a.blob", shaves=shaves, cache=pretend(script))
    lines = (tmp_path / "config").read_text().splitlines()
    graph = ["MYRIAD_DUMP_INTERNAL_GRAPH_FILE_NAME graph.dot", "MYRIAD_DUMP_ALL_PASSES NO"]
    assert lines == ["MYRIAD_DETECT_NETWORK_BATCH NO", *graph, *streams]
    arguments = (tmp_path / "arguments").read_text()
    assert f"-ip U8 -VPU_NUMBER_OF_SHAVES {shaves} -VPU_NUMBER_OF_CMX_SLICES {shaves} " in arguments


def test_the_default_leaves_shaves_for_the_camera() -> None:
    assert 2 * compiler.DEFAULT_SHAVES <= compiler.MAX_SHAVES


@pytest.mark.compiler
def test_a_first_dimension_is_no_batch(tmp_path: Path) -> None:
    """A network of three images keeps them; the compiler would otherwise run one, and say three in the header."""
    weights = numpy_helper.from_array(np.linspace(-1, 1, 4 * 2 * 9).reshape(4, 2, 3, 3).astype(np.float16), "w")
    rows = numpy_helper.from_array(np.array([2, 0], np.int64), "rows")
    nodes = [
        helper.make_node("Conv", ["images", "w"], ["convolved"], pads=[1, 1, 1, 1]),
        helper.make_node("Gather", ["matrix", "rows"], ["picked"], axis=0),
    ]
    sizes = {"images": (3, 2, 8, 10), "matrix": (5, 7), "convolved": (3, 4, 8, 10), "picked": (2, 7)}
    values = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT16, size) for name, size in sizes.items()}
    graph = helper.make_graph(
        nodes, "test", [values["images"], values["matrix"]], [values["convolved"], values["picked"]], [weights, rows]
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7), tmp_path / "a.onnx")
    compile_blob(tmp_path / "a.onnx", tmp_path / "a.blob", shaves=4, input_type="FP16")
    blob = read_blob(tmp_path / "a.blob")
    assert blob.header.batch_size == 1
    assert {tensor.name: tensor.shape for tensor in (*blob.inputs, *blob.outputs)} == sizes
    rng = np.random.default_rng(3)
    images, matrix = (rng.standard_normal(sizes[name]).astype(np.float16) for name in ("images", "matrix"))
    got = Simulator(blob).run({"images": images, "matrix": matrix})
    np.testing.assert_array_equal(got["picked"], matrix[[2, 0]])
    kernel = numpy_helper.to_array(weights).astype(np.float64)
    padded = np.pad(images.astype(np.float64), ((0, 0), (0, 0), (1, 1), (1, 1)))
    patches = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    np.testing.assert_allclose(got["convolved"], np.einsum("ncyxab,ocab->noyx", patches, kernel), atol=0.02)

"""The shipped graphs are what the converter makes; graphs of other weights are made on first use."""

import subprocess
import sys
import textwrap
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest
from numpy.typing import NDArray
from safetensors import safe_open

from fer_model import extras
from fer_model.engines import load_engine
from fer_model.engines.graphs import graph_of, read_graph
from fer_model.errors import FerModelError, WeightsError
from fer_model.networks.manifest import ModelSet, WeightsFile, read_models

MEMBERS = read_models().members
each_member = pytest.mark.parametrize("member", MEMBERS, ids=[member.name for member in MEMBERS])
FACES = np.random.default_rng(0).integers(0, 256, (3, 48, 48), np.uint8)


def structure(graph: openvino.Model) -> list[tuple[str, str, list[str]]]:
    """The type, element type and shapes of each operation, in order of execution."""
    return [
        (node.get_type_name(), str(node.get_element_type()), [str(out.get_partial_shape()) for out in node.outputs()])
        for node in graph.get_ordered_ops()
    ]


def constants(graph: openvino.Model) -> list[NDArray[Any]]:
    return [np.asarray(node.data) for node in graph.get_ordered_ops() if node.get_type_name() == "Constant"]


def own(member: WeightsFile) -> WeightsFile:
    """The weights as a user's, without a shipped graph."""
    return WeightsFile("mine", member.path, member.sha256)


@dataclass(frozen=True)
class Conversion:
    """What came of a member that two processes converted at once: their exit codes and answers, and the files."""

    folder: Path
    codes: list[int]
    answers: set[str]
    files: set[str]


@pytest.fixture(scope="module")
def conversion(tmp_path_factory: pytest.TempPathFactory) -> Conversion:
    code = """
        import sys
        from pathlib import Path
        from fer_model.engines.graphs import graph_of
        from fer_model.networks.manifest import WeightsFile
        print(graph_of(WeightsFile("mine", Path(sys.argv[1]), sys.argv[2]), "classifier", Path(sys.argv[3])))
    """
    file, folder = own(MEMBERS[0]), tmp_path_factory.mktemp("converted")
    command = [sys.executable, "-c", textwrap.dedent(code), str(file.path), file.sha256, str(folder)]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    answers = {run.communicate(timeout=400)[0].strip() for run in runs}
    return Conversion(folder, [run.returncode for run in runs], answers, {str(path) for path in folder.iterdir()})


def test_two_processes_may_convert_at_once(conversion: Conversion) -> None:
    assert conversion.codes == [0, 0]
    assert conversion.answers == conversion.files, "one file, and no half one beside it"


@each_member
def test_a_shipped_graph_is_what_the_converter_makes(member: WeightsFile, conversion: Conversion) -> None:
    """If not: `python -m tools.make_graphs`."""
    assert member.graph is not None
    member.graph.verify()
    assert member.graph.path.stat().st_size < 10_000_000
    with safe_open(member.graph.path, "np") as tensors:
        assert tensors.metadata() == {"converted_from": member.sha256}
    core = openvino.Core()
    paths = member.graph.path, graph_of(own(member), "classifier", conversion.folder)
    ours, new = (read_graph(core, path) for path in paths)
    assert structure(ours) == structure(new)
    for here, there in zip(constants(ours), constants(new), strict=True):
        assert here.dtype == there.dtype
        # Half precision has eleven bits.
        np.testing.assert_allclose(here.astype(float), there.astype(float), rtol=2**-10, atol=2**-20)
    answers = [core.compile_model(graph, "CPU")(FACES)[0] for graph in (ours, new)]
    assert answers[0].shape == (3, 7)
    np.testing.assert_allclose(answers[0], answers[1], atol=1e-3)


def test_shipped_weights_are_run_without_torch_and_without_conversion(models: ModelSet, tmp_path: Path) -> None:
    code = """
        import sys
        from importlib.abc import MetaPathFinder
        from pathlib import Path

        class Absent(MetaPathFinder):
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] in ("torch", "torchvision", "ultralytics"):
                    raise ModuleNotFoundError(name)

        sys.meta_path.insert(0, Absent())
        import numpy as np
        from fer_model.engines import load_engine
        from fer_model.networks.manifest import read_models

        engine = load_engine(read_models(), "cpu", Path(sys.argv[1]))
        shape = engine.classify(np.zeros((1, 48, 48), np.uint8)).shape
        print(shape, *(path.name for path in Path(sys.argv[1]).iterdir()))
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert run.stdout == f"({len(models.members)}, 1, 7) compiled\n", run.stderr


def test_without_torch_other_weights_are_refused_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    with pytest.raises(
        FerModelError, match=r"mine is not shipped, .* needs the extra train, .*: pip install 'fer-batch\[train\]'$"
    ):
        graph_of(own(MEMBERS[0]), "classifier", tmp_path)


def test_a_graph_that_cannot_be_read_is_named(models: ModelSet, tmp_path: Path) -> None:
    path = tmp_path / "small.safetensors"
    path.write_bytes(b"not safetensors")
    with pytest.raises(WeightsError, match=r"small\.safetensors: holds no graph of a network"):
        read_graph(openvino.Core(), path)
    broken = replace(models, detector=replace(models.detector, graph=WeightsFile("small", path, "00")))
    with pytest.raises(WeightsError, match=r"small\.safetensors: sha256 is .*, promised was 00"):
        load_engine(broken, "cpu", tmp_path / "cache")


def test_a_failed_conversion_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "mine.safetensors").write_bytes(b"not safetensors")
    file = WeightsFile("mine", tmp_path / "mine.safetensors", "00")
    with pytest.raises(FerModelError, match=r"mine could not be converted .*cannot be read as safetensors"):
        graph_of(file, "classifier", tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []

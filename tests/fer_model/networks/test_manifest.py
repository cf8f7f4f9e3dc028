import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from fer_model.errors import WeightsError
from fer_model.networks.manifest import ModelSet, given_file, read_models

MANIFEST: dict[str, Any] = {
    "detector": {"name": "d", "file": "d.safetensors", "sha256": "00"},
    "ensemble": {
        "margin": 0.1,
        "members": [
            {"name": "a", "file": "a.safetensors", "sha256": "11", "share": 0.25},
            {"name": "b", "file": "b.safetensors", "sha256": "22", "share": 0.75},
        ],
    },
}


def write(folder: Path, manifest: Any) -> Path:
    text = manifest if isinstance(manifest, str) else json.dumps(manifest)
    (folder / "manifest.json").write_text(text)
    return folder


def test_a_manifest_becomes_models(tmp_path: Path) -> None:
    models = read_models(write(tmp_path, MANIFEST))
    assert [file.name for file in models.files] == ["d", "a", "b"]
    assert models.members[1].path == tmp_path / "b.safetensors"
    assert (models.shares, models.margin) == ((0.25, 0.75), 0.1)


def test_a_graph_goes_along_with_its_weights(tmp_path: Path) -> None:
    small = {"name": "d8", "file": "d8.safetensors", "sha256": "33"}
    models = read_models(write(tmp_path, MANIFEST | {"detector": {**MANIFEST["detector"], "graph": small}}))
    assert models.detector.graph is not None and models.detector.graph.path == tmp_path / "d8.safetensors"
    assert ModelSet.from_json(models.as_json()) == models
    assert [file.name for file in models.files] == ["d", "a", "b"], "what identifies an ensemble are its weights"
    assert models.key == read_models(write(tmp_path, MANIFEST)).key


def test_the_temperature_is_1_unless_it_is_given(tmp_path: Path) -> None:
    assert read_models(write(tmp_path, MANIFEST)).temperature == 1
    assert read_models(write(tmp_path, with_temperature(1.7))).temperature == 1.7


def test_a_given_file_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "mine.safetensors").write_bytes(b"weights")
    file = given_file(tmp_path / "mine.safetensors")
    assert (file.name, file.sha256) == ("mine", hashlib.sha256(b"weights").hexdigest())
    with pytest.raises(WeightsError, match=r"none\.safetensors: the weights cannot be read"):
        given_file(tmp_path / "none.safetensors")


def with_members(*members: Any) -> dict[str, Any]:
    return MANIFEST | {"ensemble": {"margin": 0.1, "members": list(members)}}


def with_temperature(temperature: Any) -> dict[str, Any]:
    return MANIFEST | {"ensemble": {**MANIFEST["ensemble"], "temperature": temperature}}


FIRST, SECOND = MANIFEST["ensemble"]["members"]


@pytest.mark.parametrize(
    "manifest",
    [
        "",
        "not json",
        "[]",
        "null",
        {},
        MANIFEST | {"detector": {"name": "d", "file": "d.safetensors"}},
        MANIFEST | {"detector": "d.safetensors"},
        MANIFEST | {"ensemble": {"members": [FIRST, SECOND]}},
        with_members(),
        with_members(FIRST),
        with_members(FIRST, {**SECOND, "share": "much"}),
        with_members(FIRST, {**SECOND, "share": 0.8}),
        *(with_temperature(value) for value in (0, -1, float("nan"), float("inf"), "warm", None)),
    ],
)
def test_a_broken_manifest_is_named(tmp_path: Path, manifest: Any) -> None:
    with pytest.raises(WeightsError, match=r"manifest\.json: is not a manifest of models \(.+\)"):
        read_models(write(tmp_path, manifest))


def test_a_missing_manifest_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"manifest\.json: .*No such file"):
        read_models(tmp_path)


def test_verify_accepts_the_promised_bytes_only(tmp_path: Path) -> None:
    detector = MANIFEST["detector"] | {"sha256": hashlib.sha256(b"weights").hexdigest()}
    file = read_models(write(tmp_path, MANIFEST | {"detector": detector})).detector
    file.path.write_bytes(b"weights")
    file.verify()
    file.path.write_bytes(b"weight")
    with pytest.raises(WeightsError, match="promised was"):
        file.verify()


@pytest.mark.parametrize("sha256", [None, 12, ["a"]])
def test_a_sha256_that_is_no_text_is_none_that_a_file_has(tmp_path: Path, sha256: Any) -> None:
    models = read_models(write(tmp_path, MANIFEST | {"detector": MANIFEST["detector"] | {"sha256": sha256}}))
    models.detector.path.write_bytes(b"weights")
    assert models.key and models.detector.id
    with pytest.raises(WeightsError, match=re.escape(f"promised was {sha256}")):
        models.verify()


def test_verify_looks_at_the_graph_too(tmp_path: Path) -> None:
    promised = hashlib.sha256(b"weights").hexdigest()
    graph = {"name": "d8", "file": "d8.safetensors", "sha256": promised}
    detector = MANIFEST["detector"] | {"sha256": promised, "graph": graph}
    file = read_models(write(tmp_path, MANIFEST | {"detector": detector})).detector
    for name in ("d", "d8"):
        (tmp_path / f"{name}.safetensors").write_bytes(b"weights")
    file.verify()
    (tmp_path / "d8.safetensors").write_bytes(b"weight")
    with pytest.raises(WeightsError, match=r"d8\.safetensors: sha256 is .*, promised was"):
        file.verify()


def test_the_shipped_weights_are_the_promised_ones(models: ModelSet) -> None:
    for file in models.files:
        file.verify()

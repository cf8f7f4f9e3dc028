"""Makes the OpenVINO graphs of the shipped classifiers: `fer_model/weights/NAME-graph.safetensors`.

    python -m tools.make_graphs

Run it whenever the members in `manifest.json` change: it enters each graph's sha256 there and deletes the graphs of
weights that are no longer shipped. A CPU worker runs the graphs, so it needs no torch. (The detector's graph, which is
quantised, comes from `tools.quantise_detector`.)
"""

import json

from fer_model.digests import digest
from fer_model.engines.convert import convert
from fer_model.networks.manifest import SHIPPED

MANIFEST = SHIPPED / "manifest.json"


def main() -> None:
    manifest = json.loads(MANIFEST.read_text(encoding="utf-8"))
    for graph in SHIPPED.glob("*-graph.safetensors"):
        graph.unlink()
    for member in manifest["ensemble"]["members"]:
        name = f"{member['name']}-graph"
        path = SHIPPED / f"{name}.safetensors"
        convert("classifier", SHIPPED / member["file"], path)
        member["graph"] = {"name": name, "file": path.name, "sha256": digest(path, "sha256")}
        print(path, f"{path.stat().st_size / 1e6:.1f} MB", member["graph"]["sha256"])
    MANIFEST.write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

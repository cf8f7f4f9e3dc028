"""Installs pip into this Python where `ensurepip` is missing, as in Debian's python3 without python3-venv.

Downloads the newest wheel of pip from a package index (PEP 691) and runs it to install itself. The index
is PIP_INDEX_URL, or PyPI. Needs only the standard library.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from urllib.parse import urljoin

INDEX = "https://pypi.org/simple"
JSON = "application/vnd.pypi.simple.v1+json"


def newest_wheel(files: "list[dict[str, object]]") -> "dict[str, object]":
    """The entry of the highest final version that was not yanked. Raises `SystemExit` if there is none."""
    versions = {}
    for file in files:
        match = re.fullmatch(r"pip-(\d+(?:\.\d+)*)-py3-none-any\.whl", str(file["filename"]))
        if match and not file.get("yanked"):
            versions[tuple(map(int, match[1].split(".")))] = file
    if not versions:
        raise SystemExit("The package index has no wheel of pip.")
    return versions[max(versions)]


def main() -> None:
    page = os.environ.get("PIP_INDEX_URL", INDEX).rstrip("/") + "/pip/"
    with urllib.request.urlopen(urllib.request.Request(page, headers={"Accept": JSON}), timeout=60) as answer:
        wheel = newest_wheel(json.load(answer)["files"])
    with urllib.request.urlopen(urljoin(page, str(wheel["url"])), timeout=60) as answer:
        content = answer.read()
    if hashlib.sha256(content).hexdigest() != wheel["hashes"]["sha256"]:  # type: ignore[index]
        raise SystemExit("The wheel of pip is not the one that the package index promised.")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / str(wheel["filename"])
        path.write_bytes(content)
        command = [sys.executable, f"{path}/pip", "install", "--quiet", "--no-index", str(path)]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()

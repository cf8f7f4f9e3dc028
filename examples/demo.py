"""What `make demo` shows: sample media through the whole system, one annotated picture, one question in SQL."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import cv2

from fer_model.rendering.drawing import annotate
from fer_model.samples import write_samples
from fer_model.sources.images import read_picture
from fer_model.types import EMOTIONS, FaceObservation

FOLDER = Path("demo")
QUESTION = """\
SELECT second, faces, emotion, round(happy, 2) AS happy, round(neutral, 2) AS neutral
FROM emotion_timeline WHERE uri LIKE '%clip.mp4' ORDER BY job_id DESC, second LIMIT 5"""


def main() -> None:
    media, database = FOLDER / "media", FOLDER / "fer-batch.db"
    print("Making sample media: two photographs and a clip that pans over them …", flush=True)
    write_samples(media)
    print(f"\n$ fer-batch run {media} --db sqlite:///{database}\n", flush=True)
    command = [sys.executable, "-P", "-m", "cli", "run", str(media), "--db", f"sqlite:///{database}"]
    if failed := subprocess.run(command).returncode:
        sys.exit(failed)
    picture = FOLDER / "zidane-annotated.jpg"
    draw(database, media / "zidane.jpg", picture)
    print(f"\nAnnotated picture: {picture.resolve()}")
    print(f"Database:          {database.resolve()}\n\n{QUESTION};\n")
    ask(database, QUESTION)
    python = Path(sys.executable)
    print("\nYour own photographs and videos, five frames a second:\n")
    print(f"{python.with_name('fer-batch')} run PATH --fps 5")
    print(
        "\nTo see the demo in a browser, install the page's packages once, and open the address that the page prints:\n"
    )
    print(f"{python} -m pip install --constraint constraints.txt --editable '.[web]'")
    print(f"{python.with_name('fer-batch')} web --db sqlite:///{database}")


def draw(database: Path, photograph: Path, output: Path) -> None:
    """Draws the faces that the database holds for a photograph into a copy of it."""
    question = f"""
        SELECT x1, y1, x2, y2, detection_score, quality, {", ".join(EMOTIONS)} FROM faces
        WHERE media_id = (SELECT max(id) FROM media WHERE uri = ?)"""
    with closing(sqlite3.connect(database)) as connection:
        rows = connection.execute(question, (str(photograph.resolve()),)).fetchall()
    faces = [FaceObservation(row[:4], row[4], row[6:], row[5]) for row in rows]
    cv2.imwrite(str(output), annotate(read_picture(str(photograph)), faces)[..., ::-1])


def ask(database: Path, question: str) -> None:
    """Runs a query and prints its rows in columns."""
    with closing(sqlite3.connect(database)) as connection:
        cursor = connection.execute(question)
        names = [column[0] for column in cursor.description]
        for row in (names, *cursor):
            print("  ".join(f"{value!s:<9}" for value in row).rstrip())


if __name__ == "__main__":
    main()

"""Runs cases one after the other, from a number on: prints each number before its case, and what was found after it."""

import sys
import tempfile
import traceback
import warnings
from pathlib import Path

from fer_model.sources import connecting, http, remote
from tests.support.fuzz_checks import check_number
from tests.support.mutations import clips, pictures


def main(start: int) -> None:
    """Runs until it is stopped, or until a case kills this process."""
    warnings.simplefilter("ignore")
    # A slow server is not what is looked for.
    vars(http).update(TIMEOUT_S=(2, 2))
    vars(remote).update(WAIT_S=0.001)
    vars(connecting).update(HEAD_S=2.0)
    with tempfile.TemporaryDirectory(prefix="fer-fuzz-") as name:
        folder = Path(name)
        seeds = clips(folder), pictures()
        number = start
        while True:
            print(number, flush=True)
            try:
                check_number(number, folder, *seeds)
            except Exception:
                print("!" + traceback.format_exc().replace("\n", "\\n"), flush=True)
            number += 1


if __name__ == "__main__":
    main(int(sys.argv[1]))

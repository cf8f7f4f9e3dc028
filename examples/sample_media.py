"""Real sample media without a download: `python -m examples.sample_media FOLDER`."""

import sys
from pathlib import Path

from fer_model.samples import write_samples

if __name__ == "__main__":
    write_samples(Path(sys.argv[1]))

"""Where the checkpoints of training runs lie: `runs/RUN/ATTEMPT/` in FER_MODELS_DIR, which all workers share.

Each attempt has its own folder, named by its fencing token: a worker that returns after its lease expired writes
into its own folder only.
"""

import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from fer_model.atomic import left_by_umask
from fer_model.training.definitions import BEST, CHECKPOINT
from results.leases import Claim
from workers.errors import CheckpointError
from workers.job_folders import of_job
from workers.models.store import folder


def run_folder(models_dir: Path, job_id: str) -> Path:
    """The folder of one run; may not exist. Raises `ForgedJobError`."""
    return of_job(folder(models_dir) / "runs", job_id)


def take_over(models_dir: Path, claim: Claim) -> Path:
    """This attempt's folder, with the newest checkpoint of earlier attempts, whose folders are removed.

    Raises:
        CheckpointError: it cannot be made.
    """
    run = run_folder(models_dir, claim.job_id)
    own = run / str(claim.epoch)
    try:
        run.mkdir(parents=True, exist_ok=True)
        attempts = [each for each in run.iterdir() if each.name.isdigit()]
        # A higher number is a successor's: this worker's lease may have expired before this point.
        earlier = sorted((each for each in attempts if int(each.name) < claim.epoch), key=lambda each: int(each.name))
        partial = Path(tempfile.mkdtemp(prefix="partial-", dir=run))
        source = next((each for each in reversed(earlier) if (each / CHECKPOINT).exists()), None)
        if source:
            _adopt(source, partial)
        # Other workers may run as other users, where the umask lets them.
        partial.chmod(left_by_umask(0o777))
        # Atomically: a worker that dies halfway leaves no folder that looks complete.
        partial.rename(own)
    except OSError as error:
        raise CheckpointError(f"{run}: no checkpoint can be kept there ({error.strerror})") from error
    for each in earlier:
        shutil.rmtree(each, ignore_errors=True)
    return own


def forget(models_dir: Path, job_id: str) -> None:
    """Removes a run's checkpoints, once its weights are in the store."""
    shutil.rmtree(run_folder(models_dir, job_id), ignore_errors=True)


def forget_attempt(models_dir: Path, claim: Claim) -> None:
    """Removes this attempt's folder alone: another attempt may have begun."""
    run = run_folder(models_dir, claim.job_id)
    shutil.rmtree(run / str(claim.epoch), ignore_errors=True)
    with suppress(OSError):
        run.rmdir()


def _adopt(source: Path, target: Path) -> None:
    # The checkpoint first: the best weights are then at least as new as those it refers to.
    for name in (CHECKPOINT, BEST):
        if not (source / name).exists():
            continue
        try:
            # A hard link needs no space. Neither file is ever changed in place.
            os.link(source / name, target / name)
        except OSError:
            shutil.copyfile(source / name, target / name)

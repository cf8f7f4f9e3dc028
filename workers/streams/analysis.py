"""What analyses the streams of a hub: the networks of the ensemble in use, and the pump that feeds them."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine as Database

from fer_model.analysis.analyser import Analyser
from fer_model.engines import Engine
from fer_model.networks.manifest import ModelSet
from results.database import reading, writing
from workers.models import store
from workers.streams.balance import Balance
from workers.streams.pump import Pump
from workers.streams.speed import Speed, measure, room_of

logger = logging.getLogger(__name__)

Load = Callable[[ModelSet], Engine]


@dataclass(frozen=True)
class Analysis:
    """The ensemble in use on its engine. `balance` shares the detector's time."""

    ensemble_id: int
    analyser: Analyser
    pump: Pump
    balance: Balance

    def close(self) -> None:
        """Ends its threads; waits for frames that are in the detector."""
        self.pump.close()
        self.analyser.close()


def start_analysis(database: Database, models_dir: Path, load: Load) -> Analysis:
    """Loads the ensemble in use and measures its detector. Raises as `load`, and `ResultsError`."""
    with writing(database) as session:
        ensemble_id, models = store.current(session, models_dir)
    engine = load(models)
    speed = Speed(measure(engine))
    logger.info("the detector does %.0f frames of 640x360 a second", speed.measured)
    analyser = Analyser(engine, models)
    return Analysis(ensemble_id, analyser, Pump(analyser, room_of(engine)), Balance(speed))


def is_in_use(database: Database, models_dir: Path, ensemble_id: int) -> bool:
    """Whether this still is the ensemble in use. Raises `ResultsError`."""
    with reading(database) as session:
        found = store.known(session, models_dir)
    return found is not None and found[0] == ensemble_id

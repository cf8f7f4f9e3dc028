"""The errors of this package. Each class's docstring is its default message."""


class ResultsError(Exception):
    """The database operation failed."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or type(self).__doc__)


class DatabaseUrlError(ResultsError):
    """This is not a database URL; write sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME."""


class DatabaseUnreachableError(ResultsError):
    """The database cannot be reached."""


class DatabaseReadOnlyError(ResultsError):
    """The database can be read but not written."""


class DatabaseBusyError(ResultsError):
    """The database stayed locked by another program; try again."""


class DatabaseFullError(ResultsError):
    """There is no room for the database on its disk."""


class ForeignDatabaseError(ResultsError):
    """The database belongs to another program."""


class DatabaseOutdatedError(ResultsError):
    """The database is older than this fer-batch; run `fer-batch db upgrade`."""


class DatabaseTooNewError(ResultsError):
    """The database was made by a newer fer-batch; install that version, or use another database."""


class UnknownJobError(ResultsError):
    """There is no such job."""


class UnknownStreamError(ResultsError):
    """There is no such stream."""


class RecordingError(ResultsError):
    """A recording of a webcam cannot be started again; begin another one on the page Live."""


class ShardLostError(ResultsError):
    """The shard belongs to another worker now; nothing was written."""


class JobCancelledError(ResultsError):
    """The job was cancelled; nothing was written."""


class UnknownModelError(ResultsError):
    """There is no such model."""


class UnknownEnsembleError(ResultsError):
    """There is no such ensemble."""


class NameTakenError(ResultsError):
    """There is something of this name already."""


class TimelineError(ResultsError):
    """These are not valid parameters of a timeline."""


class MarkerError(ResultsError):
    """These are not valid values of a marker."""

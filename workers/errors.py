"""The errors of this package. Each class's docstring is its default message."""


class WorkersError(Exception):
    """The work could not be queued or done."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or type(self).__doc__)


class BrokerUnreachableError(WorkersError):
    """The broker cannot be reached."""


class ForgedJobError(WorkersError):
    """A row does not have the form that this program gives it."""


class CropsRefusedError(WorkersError):
    """Pictures of faces may not be kept there."""


class StreamPicturesError(WorkersError):
    """The pictures of a stream are not stored."""


class NothingToDoError(WorkersError):
    """No picture and no video was found."""


class TokenTakenError(WorkersError):
    """The token was used for another job."""


class SameModelError(WorkersError):
    """An ensemble cannot have one model twice."""


class LocalStackError(WorkersError):
    """The local stack could not be started."""


class CheckpointError(WorkersError):
    """The checkpoints of a training run cannot be kept."""


class WorkerStoppingError(WorkersError):
    """The worker is shutting down."""


class MissingMediaError(WorkersError):
    """A file that was there when the job was submitted is missing on this worker."""

    def __init__(self, message: str, uri: str, with_folder: bool) -> None:
        super().__init__(message)
        self.uri = uri
        self.with_folder = with_folder
        """Whether its whole folder is missing or empty, as that of a share that is not mounted."""

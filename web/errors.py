"""The errors of this room. Each class's docstring is its default message."""


class WebError(Exception):
    """The page cannot be served."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or type(self).__doc__)

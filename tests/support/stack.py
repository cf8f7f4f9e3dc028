"""A Redis server, a database and a worker: what the fixture `stack` gives."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Stack:
    """A Redis server, a database and a worker that run."""

    database_url: str
    broker_url: str

    @property
    def environment(self) -> dict[str, str]:
        """The environment of processes that use the stack."""
        return {"FER_DATABASE_URL": self.database_url, "FER_BROKER_URL": self.broker_url}

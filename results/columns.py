"""What all tables share: the base, the types of columns, and the names of constraints."""

from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    Integer,
    MetaData,
    Text,
    TypeDecorator,
)
from sqlalchemy.orm import DeclarativeBase, mapped_column


class UtcDateTime(TypeDecorator[datetime]):
    """A time in UTC; SQLite, which has no time zones, stores it without one."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Accepts aware datetimes only; raises ValueError for a naive one."""
        if value is not None and value.tzinfo is None:
            raise ValueError("a time without a time zone cannot be stored")
        return value and value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Returns an aware datetime in UTC, independent of the server's time zone."""
        if value is None or value.tzinfo is not None:
            return value and value.astimezone(UTC)
        return value.replace(tzinfo=UTC)


class Base(DeclarativeBase):
    """The base of all tables."""

    metadata = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
        }
    )
    type_annotation_map: ClassVar = {
        str: Text,
        float: Double,
        datetime: UtcDateTime,
        dict[str, Any]: JSON,
        list[list[float]]: JSON(none_as_null=True),
        list[str]: JSON,
    }


# A stream of a month has more milliseconds than 32 bits hold, and one of a year more faces.
Ms = Annotated[int, mapped_column(BigInteger)]
Count = Annotated[int, mapped_column(BigInteger().with_variant(Integer, "sqlite"), default=0)]
JobKey = Annotated[str, mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))]
MediaKey = Annotated[int, mapped_column(ForeignKey("media.id", ondelete="CASCADE"))]
ShardKey = Annotated[int, mapped_column(ForeignKey("shards.id", ondelete="CASCADE"))]
ModelKey = Annotated[str, mapped_column(ForeignKey("models.id"))]
EnsembleKey = Annotated[int, mapped_column(ForeignKey("ensembles.id"))]


def one_of(column: str, values: tuple[str, ...]) -> CheckConstraint:
    """The column has one of these values."""
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=column)

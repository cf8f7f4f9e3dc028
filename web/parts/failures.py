"""Errors of ours as one sentence on the page."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import streamlit as st
from sqlalchemy.exc import SQLAlchemyError

from fer_model.errors import FerModelError
from results.errors import ResultsError
from web.errors import WebError
from web.parts.names import plain
from workers.errors import WorkersError
from workers.queue.broker import BROKER_ERRORS

OURS = (FerModelError, ResultsError, WebError, WorkersError)


@contextmanager
def one_sentence(show: Callable[[str], object] = st.error) -> Iterator[None]:
    """Draws the sentence of an error instead of ending the page."""
    try:
        yield
    except OURS as error:
        show(plain(str(error)))
    except (*BROKER_ERRORS, SQLAlchemyError) as error:
        show(f"The server could not do it ({type(error).__name__}). Try again in a moment.")

"""The server's way to the queue."""

import streamlit as st
from celery import Celery

from web.server import this_server
from workers.queue.app import make_app


@st.cache_resource(show_spinner=False)
def queue() -> Celery:
    """The application that sends messages, one for the server."""
    return make_app(this_server().settings)

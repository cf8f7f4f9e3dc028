"""The command `web`: the page in a browser."""

from typing import TYPE_CHECKING

import click

from cli.options import Whole, settings_options

if TYPE_CHECKING:
    from workers.settings import Settings


@click.command()
@click.option("--port", metavar="PORT", type=Whole(1, 65535), default=8501, help="Port to listen on.")
@click.option("--address", default="127.0.0.1", help="Address to listen on; 0.0.0.0 is all of this machine's.")
@settings_options("database_url", "broker_url", "device")
def web(settings: "Settings", port: int, address: str) -> None:
    """Show pictures, the webcam and the database in a browser.

    At other addresses than this machine's own it needs a password: FER_WEB_PASSWORD.
    """
    from cli.views.lines import say
    from web.access import check_access
    from workers.queue.standing_stack import check_port

    check_access(settings, address)
    check_port(port, "--port")
    from web.app import run

    run(settings, address, port, on_ready=lambda: say(f"Web page: http://{address}:{port}", err=True))

"""`python -m cli` is `fer-batch`."""

from cli.main import main

main(prog_name="fer-batch")

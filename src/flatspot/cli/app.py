"""`flatspot`: one console script with subcommands."""

import sys
from typing import Annotated

import typer

import flatspot

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Train recurrent networks on time series, and see when their outputs go flat.",
)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"flatspot {flatspot.__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[bool, typer.Option("--version", is_eager=True, callback=_show_version)] = False,
) -> None:
    """Train recurrent networks on time series, and see when their outputs go flat."""


@app.command(
    "train",
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def train() -> None:
    """Train, test and report: `flatspot train data=csv data.path=my.csv`; `flatspot train --help` shows the knobs."""
    from flatspot.cli.train import main

    main(sys.argv[2:])


def run() -> None:
    """Run the subcommand that the command line names."""
    app()

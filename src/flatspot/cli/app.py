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


@app.callback()
def version(
    show: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False,
) -> None:
    """Print the version where it is asked for."""
    if show:
        typer.echo(f"flatspot {flatspot.__version__}")
        raise typer.Exit


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

"""`flatspot`: one console script with subcommands."""

import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

import flatspot
from flatspot.cli.runs import FORECASTS, LATEST, OUTPUTS, RUN_HELP, of_run
from flatspot.cli.terminal import painted, waiting
from flatspot.errors import BadInput, showable

FOUND = 1
BAD_INPUT = 2
FAILED = 3
INTERRUPTED = 130

MENDING = typer.Argument(
    metavar="[data.KEY=VALUE]...",
    help="What is done to other rows, where not as in the run: data.missing=, data.max_gap=, data.duplicates=, "
    "data.unsorted=, data.short=.",
    show_default=False,
)

RUN = typer.Argument(metavar="RUN", help=RUN_HELP, show_default=False)

app = typer.Typer(
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


def _offered(context: typer.Context, incomplete: str) -> list[str]:
    """What TAB offers behind `flatspot train`, in shells other than bash, which is answered without Typer."""
    from flatspot.cli.completion import offered
    from flatspot.cli.help import conf_dir

    return offered(context.params.get("overrides") or (), incomplete, conf_dir())


@app.command(
    "train",
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def train(
    overrides: Annotated[list[str] | None, typer.Argument(hidden=True, autocompletion=_offered)] = None,
) -> None:
    """Train, test and report: `flatspot train data=csv data.path=my.csv`; `flatspot train --help` shows the knobs."""
    from flatspot.cli.train import main

    main(overrides or ())


@app.command("evaluate")
def evaluate(
    run: Annotated[Path | None, RUN] = None,
    mending: Annotated[list[str] | None, MENDING] = None,
    data: Annotated[
        Path | None, typer.Option(help="A CSV or Parquet file; without it, the run's own test rows.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="All figures as JSON.")] = False,
    traces: Annotated[bool, typer.Option("--traceback", help="Show where bad input was found.")] = False,
) -> None:
    """Errors over rolling origins, by step and by series, in original units, beside the baselines."""
    from flatspot.cli.evaluate import evaluate_run

    def work() -> str:
        with waiting("evaluating"):
            return of_run(run, lambda folder: evaluate_run(folder, data, mending or (), as_json=as_json))

    _answer(work, traces=traces)


@app.command("predict")
def predict(
    run: Annotated[Path | None, RUN] = None,
    mending: Annotated[list[str] | None, MENDING] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="A CSV or Parquet file with the columns of the run; without it, the run's own file."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help=f"Where the forecasts go, a .csv or .parquet file; else to {FORECASTS}.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help=f"Write over a {FORECASTS} that is there.")] = False,
    every_origin: Annotated[
        bool, typer.Option("--every-origin", help="After every window, not only at the end.")
    ] = False,
    traces: Annotated[bool, typer.Option("--traceback", help="Show where bad input was found.")] = False,
) -> None:
    """Forecasts after the end of each series, in original units, with time stamps."""
    from flatspot.cli.predict import Asked, predict_run

    def work() -> str:
        with waiting("forecasting"):
            asked = Asked(data, out, mending or (), every_origin=every_origin, force=force)
            return of_run(run, lambda folder: predict_run(folder, asked))

    _answer(work, traces=traces)


@app.command("doctor")
def doctor(
    run: Annotated[Path | None, RUN] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Everything as JSON, with the evidence.")] = False,
    explain: Annotated[
        str | None, typer.Option(metavar="CAUSE", help="Print the page of a cause, and examine nothing.")
    ] = None,
    cure: Annotated[
        bool, typer.Option("--cure", help="Train again with each of the first suggestions, for up to 30 s each.")
    ] = False,
    traces: Annotated[bool, typer.Option("--traceback", help="Show where bad input was found.")] = False,
) -> None:
    """Say whether, where and why a run's outputs went flat, and what to try; exit code 1 where a cause is named."""
    from flatspot.cli.doctor import diagnosis_of, page_of

    found = False

    def work() -> str:
        if explain is not None:
            return page_of(explain)
        return of_run(run, told)

    def told(folder: Path) -> str:
        nonlocal found
        text, found = diagnosis_of(folder, as_json=as_json)
        return f"{text}\n\n{_cured(folder)}" if cure and not as_json else text

    _answer(work, traces=traces)
    if found:
        raise typer.Exit(FOUND)


def _cured(run: Path) -> str:
    """What became of the suggestions."""
    from flatspot.cli.cure import cure_run

    return cure_run(run, lambda what: typer.echo(f"{what} ...", err=True))


@app.command("report")
def report(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="RUN_OR_SWEEP",
            help=f"A run folder, or a sweep's; or {LATEST}: the newest in ./{OUTPUTS}.",
            show_default=False,
        ),
    ] = None,
    show: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
    traces: Annotated[bool, typer.Option("--traceback", help="Show where bad input was found.")] = False,
) -> None:
    """Write report.html into the folder: one page that needs nothing else."""

    def drawn(which: Path) -> str:
        from flatspot.cli.report import report as write

        with waiting("drawing"):
            path = write(which)
        if show:
            typer.launch(path.resolve().as_uri())
        return str(path)

    _answer(lambda: of_run(folder, drawn, sweeps=True), traces=traces)


def _answer(work: Callable[[], str], *, traces: bool) -> None:
    """Print what comes out, or one sentence for what the user can mend."""
    try:
        typer.echo(painted(showable(work()), sys.stdout))
    except BadInput as error:
        if traces:
            traceback.print_exception(error)
        typer.echo(painted(f"error: {error}", sys.stderr), err=True)
        raise typer.Exit(BAD_INPUT) from error
    except KeyboardInterrupt:
        typer.echo("error: interrupted", err=True)
        raise typer.Exit(INTERRUPTED) from None
    except Exception as error:
        traceback.print_exception(error)
        raise typer.Exit(FAILED) from error


def run() -> None:
    """Run the subcommand that the command line names."""
    app(prog_name="flatspot")

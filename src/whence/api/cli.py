"""The command line."""

from __future__ import annotations

import json
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from whence.api.configured import choose, server_extra, table
from whence.api.files import STANDARD_INPUT, read_source
from whence.api.held import held_models
from whence.api.options import to_budget, to_parameters
from whence.api.service.keys import hash_key, make_key
from whence.api.show import show
from whence.demo.records import PROMPT, generate
from whence.explain.budget import DEFAULT_BUDGET
from whence.explain.methods import METHODS
from whence.explain.schema import Explanation, TargetKind, TextKind
from whence.providers.base import Provider
from whence.providers.errors import (
    InputError,
    NameUnknownError,
    UnsupportedError,
    WhenceError,
)
from whence.providers.prompt import Source
from whence.providers.registry import PROVIDERS, installed
from whence.version import __version__

EXIT_FAILED = 1
EXIT_USAGE = 2
DEFAULT_MODEL = "demo"
DEMO_SEED = 335
DEMO_LAYER = 1
"""Where the bundled model looks things up: see benchmarks/demo_model.py."""
LINE_CHARACTERS = 1000
EPILOG = (
    "Exit codes: 0 explained; 1 the model or the machine failed; 2 the question could not be understood "
    "(bad input, an unknown name, something this model cannot do, a budget too small); 130 interrupted."
)

app = typer.Typer(
    name="whence",
    help="Where did this output come from? What a language model read and used when it wrote something.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # help and errors as plain lines: boxes break words, and are no text in a pipe
)


def main() -> None:
    """Run the command line; errors of Whence become one message and an exit code."""
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # what the terminal cannot show is no failure
    try:
        app(standalone_mode=True)
    except WhenceError as error:
        errors.print("error:", str(error), style="red", markup=False)
        usage = isinstance(error, InputError | NameUnknownError | UnsupportedError)
        sys.exit(EXIT_USAGE if usage else EXIT_FAILED)
    except OSError as error:
        errors.print("error:", str(error), style="red", markup=False)
        sys.exit(EXIT_FAILED)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


@app.command()
def explain(
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILES",
            help="Text files (UTF-8), each one a source; - or nothing reads standard input.",
        ),
    ] = None,
    prompt: Annotated[
        str, typer.Option("--prompt", "-p", help="What the model is asked to do; '' for a classifier.")
    ] = PROMPT,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help=f"A provider and its model, see: whence models; {DEFAULT_MODEL} where none is given. With "
            "--config a name of that file.",
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            help="A TOML file, as whence serve takes it: the model is one of those, with its options, its "
            "prices, and its budget as the most that can be spent. Without --model its default_model."
        ),
    ] = None,
    method: Annotated[
        str, typer.Option(help=f"How to explain: auto, {', '.join(METHODS)}; several separated by commas.")
    ] = "auto",
    segment_by: Annotated[TextKind, typer.Option(help="What receives credit.")] = "sentence",
    target_by: Annotated[TargetKind, typer.Option(help="What is explained.")] = "sentence",
    output_text: Annotated[
        str | None, typer.Option(help="Explain this text instead of letting the model answer.")
    ] = None,
    out: Annotated[
        list[Path] | None,
        typer.Option("--out", "-o", help="Also write a file: .html, .json, .csv or .txt. May be repeated."),
    ] = None,
    no_script: Annotated[
        bool,
        typer.Option("--no-script", help="Write .html as a page without script, for print and mail."),
    ] = False,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="A parameter of the method, such as masks=32 or value=similarity; the value is JSON, or "
            "else text. An unknown name is answered with those that exist. May be repeated.",
        ),
    ] = None,
    layers: Annotated[str | None, typer.Option(help="Average these layers only, such as 0,3.")] = None,
    heads: Annotated[str | None, typer.Option(help="Average these heads only, such as 1,5.")] = None,
    detail: Annotated[
        bool, typer.Option("--detail", help="Keep the token level in the explanation.")
    ] = False,
    attention: Annotated[
        bool, typer.Option("--attention", help="Keep every weight of every head, for .json and .html files.")
    ] = False,
    truncate: Annotated[
        bool, typer.Option("--truncate", help="Leave out what does not fit into the model, and say so.")
    ] = False,
    max_tokens: Annotated[int, typer.Option(min=1, help="The longest answer, in tokens.")] = 512,
    seed: Annotated[
        int, typer.Option(min=0, help="What is drawn at random is the same for the same seed.")
    ] = 0,
    budget_calls: Annotated[
        int | None,
        typer.Option(
            min=0,
            help=f"The most calls of the model; {DEFAULT_BUDGET.calls} where calls cost money and no limit "
            "is given.",
        ),
    ] = None,
    budget_tokens: Annotated[
        int | None, typer.Option(min=0, help="The most tokens, read and written together.")
    ] = None,
    budget_money: Annotated[
        float | None, typer.Option(min=0, help="The most money, in the currency of the model's prices.")
    ] = None,
    budget_seconds: Annotated[
        float | None, typer.Option(min=0, help="The most time, from the first call to the last.")
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Show what it would cost at most; the model writes nothing, but an API counts tokens.",
        ),
    ] = False,
    top: Annotated[int, typer.Option(min=1, help="How many passages to list for each target.")] = 3,
) -> None:
    """Explain an answer by the parts of FILES it came from."""
    if not files and sys.stdin.isatty():
        raise InputError("no file is given; name a text file, or pipe a text in")
    budget = to_budget(calls=budget_calls, tokens=budget_tokens, money=budget_money, seconds=budget_seconds)
    provider: str | Provider = DEFAULT_MODEL if model is None else model
    if config is not None:
        provider, budget = choose(config, model, budget)
    sources = [read_source(path) for path in files or [STANDARD_INPUT]]
    show(
        provider,
        prompt,
        sources,
        out=out or [],
        top=top,
        dry_run=dry_run,
        interactive=not no_script,
        output=output_text,
        method=[name.strip() for name in method.split(",")],
        segment_by=segment_by,
        target_by=target_by,
        detail=detail,
        attention=attention,
        truncate=truncate,
        max_tokens=max_tokens,
        seed=seed,
        budget=budget,
        **to_parameters(settings or [], layers=layers, heads=heads),
    )


@app.command()
def models(
    config: Annotated[
        Path | None,
        typer.Option(help="A TOML file, as whence serve takes it: list the models of it, and ask none."),
    ] = None,
) -> None:
    """List the providers, what an Ollama holds, or a settings file.

    Of a provider it says whether it is installed, of Ollama's models which access each has here (weights,
    logprobs or text), and of a settings file's models their prices and budgets. Ollama is looked for at
    OLLAMA_HOST, else on this machine; no weights are loaded.
    """
    # In a pipe each one stays on one line.
    console = Console(width=None if sys.stdout.isatty() else LINE_CHARACTERS)
    if config is not None:
        console.print(table(config))
        return
    providers = Table("write", "what it is", "installed", box=None, header_style="bold")
    for name, entry in PROVIDERS.items():
        here = "yes" if installed(entry) else f"no: pip install 'whence[{entry.extra}]'"
        providers.add_row(f"{name}:NAME" if entry.takes_model else name, entry.about, here)
    console.print(providers)
    for name, entry in PROVIDERS.items():
        if entry.listing is not None and installed(entry):
            console.print()
            console.print(held_models(name, entry))


@app.command()
def schema() -> None:
    """Print the JSON Schema of an explanation."""
    typer.echo(json.dumps(Explanation.model_json_schema(), indent=2))


@app.command()
def serve(
    config: Annotated[
        Path | None,
        typer.Option(help="A TOML file with the settings, such as configs/demo.toml; without one, the demo."),
    ] = None,
    host: Annotated[
        str | None, typer.Option(help="Where to listen: 127.0.0.1; any other address needs API keys.")
    ] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="8000; 0 takes a free one.")] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.")] = None,
) -> None:
    """Serve the HTTP API of the configured models.

    No other model can be asked; /docs tells of the API. WHENCE_* in the environment goes before the file, and
    the options go before both. Logs are JSON lines on stderr, without any text of a record.
    """
    with server_extra():
        from whence.api import server
        from whence.api.service.settings import load_settings
    given = {"host": host, "port": port, "log_level": log_level}
    server.serve(load_settings(config, **{name: value for name, value in given.items() if value is not None}))


@app.command()
def key() -> None:
    """Make an API key for the HTTP service, and its hash."""
    made = make_key()
    typer.echo(f"key   {made}")
    typer.echo(f"hash  {hash_key(made)}")
    typer.echo("Give the key to who asks, and put the hash into server.api_keys.", err=True)


@app.command()
def demo(
    out_dir: Annotated[Path, typer.Option(help="Where demo.html and demo.json are written.")] = Path(),
) -> None:
    """Explain a made-up record with the bundled model."""
    record = generate(DEMO_SEED)
    sources = [Source(text=record.text, name="record")]
    out = [out_dir / "demo.html", out_dir / "demo.json"]
    show("demo", PROMPT, sources, out=out, detail=True, layers=DEMO_LAYER)
    Console(stderr=True, highlight=False, soft_wrap=True).print(
        f"These are the shares of layer {DEMO_LAYER}, in which this model looks things up. Other models have "
        "other such layers: whence explain averages all of them, unless --layers says which."
    )


if __name__ == "__main__":
    main()

"""The command line. Each command reads its arguments, calls the room that does the work, and shows the result.

torch is loaded only by the commands that fit.
"""

from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

from foreoptic import __version__, bench, keys, options, reproduce, show
from foreoptic.client import Client, ServiceError
from foreoptic.options import settings
from service.contract.errors import ContractError
from service.contract.input_spec import InputSpec

app = typer.Typer(
    name="foreoptic",
    help="A learned corrector in front of a frozen ONNX model.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(reproduce.app, name="reproduce")
app.add_typer(bench.app, name="bench")
app.add_typer(keys.app, name="keys")

Model = Annotated[str, typer.Argument(help="A registered model, one that ships, or a bundle's folder.")]
Name = Annotated[str, typer.Argument(help="A model's name.")]
Url = Annotated[str, typer.Option(help="Where the service listens.", envvar="FOREOPTIC_URL")]
Key = Annotated[str | None, typer.Option(help="API key, if the service wants one.", envvar="FOREOPTIC_KEY")]
Domain = Annotated[str, typer.Option(help="Name of the domain.")]
Method = Annotated[str, typer.Option(help="How the corrector is fitted.")]

DEFAULT_URL = "http://127.0.0.1:8000"


def main() -> None:
    """Entry point: what a person can mend is one line, not a stack trace."""
    try:
        app()
    except httpx.HTTPError as error:
        raise SystemExit(show.fail(f"the service does not answer: {error}; is it running?").exit_code) from error
    except (ContractError, ServiceError) as error:
        raise SystemExit(show.fail(str(error)).exit_code) from error


def version_shown(wanted: bool) -> None:
    """Print the version and stop."""
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def common(
    _version: Annotated[
        bool, typer.Option("--version", callback=version_shown, is_eager=True, help="Show it.")
    ] = False,
) -> None:
    """A learned corrector in front of a frozen ONNX model."""


@app.command()
def demo(
    seed: Annotated[int, typer.Option(help="Which images are posted and how they are split.")] = 0,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the service running and show how to call it.")] = False,
    as_json: options.Json = False,
) -> None:
    """Watch a frozen classifier fail on another source and recover from one unlabelled batch."""
    from foreoptic.demo import DemoError, run_demo

    try:
        run_demo(settings(), seed=seed, keep=keep, as_json=as_json)
    except DemoError as error:
        raise show.fail(str(error)) from error


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 takes a free one.")] = None,
    home: Annotated[Path | None, typer.Option(help="Where everything is written.")] = None,
    worker: Annotated[bool, typer.Option(help="Start the worker process, too.")] = True,
    insecure_bind: Annotated[
        bool, typer.Option("--insecure-bind", help="Listen beyond loopback although there are no keys.")
    ] = False,
    require_gpu: Annotated[
        bool, typer.Option("--require-gpu", help="Compute on CUDA, and be ready only if that comes true.")
    ] = False,
) -> None:
    """Serve every registered model."""
    from service.__main__ import OpenDoor
    from service.__main__ import serve as run

    chosen = settings(
        host=host,
        port=port,
        home=home,
        worker=worker and None,
        insecure_bind=insecure_bind or None,
        require_gpu=require_gpu or None,
        provider="cuda" if require_gpu else None,
    )
    try:
        run(chosen, on_start=lambda url: show.err.print(f"serving on {url}, models in {url}/v1/models", soft_wrap=True))
    except OpenDoor as error:
        raise show.fail(str(error)) from error
    except OSError as error:
        raise show.fail(f"cannot listen on {chosen.host}:{chosen.port}: {error.strerror}; try --port 0") from error


@app.command()
def worker(
    home: Annotated[Path | None, typer.Option(help="The service's home.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Only say whether jobs get done.")] = False,
) -> None:
    """Do adaptation jobs for a service that was started with --no-worker."""
    from service import log
    from service.jobs import health

    chosen = settings(home=home)
    if check:
        if (complaint := health.complaint(chosen)) is not None:
            raise show.fail(complaint)
        return
    from service.jobs.__main__ import work

    log.configure(as_json=chosen.log_json)
    work(chosen)


@app.command()
def doctor(
    onnx_file: options.OnnxFile,
    source: options.Source = None,
    part: options.Part = None,
    low: options.Low = 0.0,
    high: options.High = None,
    mean: options.Mean = "0",
    std: options.Std = "1",
    layout: options.LayoutName = None,
    size: options.Size = None,
    scores: options.Scores = None,
    quick: Annotated[bool, typer.Option("--quick", help="Do not time anything, and try small batches only.")] = False,
    as_json: options.Json = False,
) -> None:
    """Say what can be done with an ONNX file, and register nothing; exit 1 if `register` would refuse it."""
    from foreoptic.doctor.visit import visit

    visit(
        onnx_file,
        source,
        settings(),
        part=part,
        normalisation=options.normalisation_of(low, high, mean, std),
        stated=options.stated_of(layout, size, scores),
        quick=quick,
        as_json=as_json,
    )


@app.command()
def register(
    onnx_file: options.OnnxFile,
    name: Annotated[str, typer.Option(help="Its name; a-z, 0-9, '-' and '_'.")],
    source: options.Source = None,
    part: options.Part = None,
    labels: Annotated[str | None, typer.Option(help="Class names, separated by commas.")] = None,
    low: options.Low = 0.0,
    high: options.High = None,
    mean: options.Mean = "0",
    std: options.Std = "1",
    layout: options.LayoutName = None,
    size: options.Size = None,
    scores: options.Scores = None,
    calibrate_gate: Annotated[
        bool, typer.Option("--calibrate-gate", help="Learn from labelled source images to forecast accuracy; minutes.")
    ] = False,
    keep_source: Annotated[
        bool, typer.Option("--keep-source", help="Keep source images beside the model, for the method calibrator.")
    ] = False,
    home: Annotated[Path | None, typer.Option(help="Where everything is written.")] = None,
    as_json: options.Json = False,
) -> None:
    """Make an ONNX classifier a model: hash, input, taps, fingerprint, parity."""
    from foreoptic.registering import FULL_CALIBRATION, register_file

    words = tuple(word.strip() for word in labels.split(",")) if labels else None
    manifest = register_file(
        onnx_file,
        name,
        source,
        settings(home=home),
        part=part,
        labels=words,
        normalisation=options.normalisation_of(low, high, mean, std),
        stated=options.stated_of(layout, size, scores),
        calibration=FULL_CALIBRATION if calibrate_gate else None,
        keep_source=keep_source,
    )
    if as_json:
        show.print_json(manifest.model_dump(mode="json"))
        return
    show.print_facts(
        [
            ("model", manifest.name),
            ("frozen SHA-256", manifest.frozen_sha256),
            ("input", _input_line(manifest.input)),
            ("output", f"{manifest.output.name}, {manifest.output.classes} classes, {manifest.output.scores}"),
            ("fitted taps", ", ".join(manifest.fitted_taps())),
            ("reserved taps", ", ".join(manifest.reserved_taps())),
            ("fingerprint", manifest.fingerprint),
        ]
    )


@app.command()
def fit(
    model: Model,
    batch: Annotated[
        Path, typer.Argument(exists=True, help="Target images: .npz with x, or a folder of class folders.")
    ],
    output: Annotated[Path, typer.Option(help="Folder that the bundle is written to; must not exist.")],
    method: Method = "homogenizer",
    preset: Annotated[
        str, typer.Option(help="Named choices of the method: default, cascade (as a job), or paper.")
    ] = "default",
    seed: Annotated[int, typer.Option(help="How the batch is split and the fit started.")] = 0,
    part: Annotated[str | None, typer.Option(help="Read x_PART of the .npz.")] = None,
    source: Annotated[
        Path | None,
        typer.Option(exists=True, help="Source images, for a method that needs some; those kept beside the model."),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Fit a corrector without a service, and judge it."""
    from foreoptic.fitting import fit_file

    verdict = fit_file(
        model, batch, output, settings(), method=method, preset=preset, seed=seed, part=part, source=source
    )
    if as_json:
        show.print_json(verdict.model_dump(mode="json"))
        return
    show.print_facts([("verdict", verdict.decision), *((r.code, r.text) for r in verdict.reasons), ("bundle", output)])


@app.command()
def evaluate(
    model: Model,
    target: Annotated[Path, typer.Option(exists=True, help="Labelled target images; x_train and x_test, or x.")],
    source: Annotated[
        Path | None,
        typer.Option(exists=True, help="Labelled source images; x_test, or x. A method that needs some sees x_train."),
    ] = None,
    images: Annotated[int, typer.Option(min=32, help="Unlabelled images that a fit gets.")] = 512,
    seeds: Annotated[int, typer.Option(min=1, help="How many draws.")] = 3,
    method: Method = "homogenizer",
    as_json: options.Json = False,
) -> None:
    """Source accuracy, target accuracy before and after: what a correction is worth on labels that no fit sees."""
    from foreoptic.evaluating import run_evaluation

    run_evaluation(model, target, source, settings(), images=images, seeds=range(seeds), method=method, as_json=as_json)


@app.command()
def adapt(
    model: Name,
    batch: Annotated[Path, typer.Argument(exists=True, help="A .npy, .npz or .zip file, or a folder of pictures.")],
    domain: Domain = "default",
    url: Url = DEFAULT_URL,
    key: Key = None,
    method: Method = "homogenizer",
    follow: Annotated[bool, typer.Option("--follow", help="Wait for the verdict, with a progress bar.")] = False,
    as_json: options.Json = False,
) -> None:
    """Post an unlabelled batch to a service."""
    from foreoptic.following import follow_job, packed

    content_type, body = packed(batch)
    with Client(url, model, key=key) as client:
        job = client.adapt(body, content_type=content_type, domain=domain, method=method)
        if follow:
            job = follow_job(client, job["id"])
    show.print_json(job) if as_json else show.print_facts(_job_facts(job))


@app.command("ls")
def list_models(
    home: Annotated[Path | None, typer.Option(help="Where everything is written.")] = None,
    as_json: options.Json = False,
) -> None:
    """Models that are registered here."""
    from foreoptic.locate import open_home
    from service.database import domains, models

    database, _ = open_home(settings(home=home))
    with database.read() as connection:
        rows = [(row, domains.every(connection, row.name)) for row in models.every(connection)]
    database.close()
    if as_json:
        show.print_json([{**vars(row), "domains": [vars(domain) for domain in found]} for row, found in rows])
        return
    lines = [
        (row.name, domain.name, row.frozen_sha256[:12], domain.champion) for row, found in rows for domain in found
    ]
    show.print_table("", ["model", "domain", "frozen SHA-256", "version"], lines, left=3)


@app.command("show")
def show_version(
    model: Name,
    version: Annotated[int | None, typer.Argument(help="A version; the list of all without it.")] = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: options.Json = False,
) -> None:
    """Versions of a model that a service has, or one of them."""
    with Client(url, model, key=key) as client:
        document = client.version(version) if version is not None else {"versions": client.versions()}
    if as_json or version is not None:
        show.print_json(document)
        return
    keys = ("version", "domain", "decision", "method", "created_at")
    show.print_table(
        "", keys, [[row[key] if row[key] is not None else "-" for key in keys] for row in document["versions"]], left=0
    )


@app.command()
def activate(
    model: Name,
    version: Annotated[int, typer.Argument(help="0 is no correction.")],
    domain: Domain = "default",
    url: Url = DEFAULT_URL,
    key: Key = None,
) -> None:
    """Make a version champion of a domain."""
    with Client(url, model, key=key) as client:
        show.print_json(client.activate(domain, version))


@app.command()
def rollback(model: Name, domain: Domain = "default", url: Url = DEFAULT_URL, key: Key = None) -> None:
    """Make the previous champion champion again."""
    with Client(url, model, key=key) as client:
        show.print_json(client.roll_back(domain))


@app.command()
def verify(folder: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="A bundle's folder.")]) -> None:
    """Check a bundle: every file, size and SHA-256."""
    from service.contract.bundle import read_bundle
    from service.contract.manifest import Manifest

    bundle = read_bundle(folder, Manifest)
    show.print_facts(
        [("digest", bundle.digest), ("frozen SHA-256", bundle.manifest.frozen_sha256), ("files", len(bundle.files))]
    )


def _input_line(spec: InputSpec) -> str:
    rows = "n" if spec.batch is None else f"{spec.batch} a run"
    return f"{spec.name} {spec.dtype} ({rows}, {', '.join(map(str, spec.item_shape))})"


def _job_facts(job: dict[str, Any]) -> list[tuple[str, object]]:
    verdict = job["verdict"] or {"decision": "-", "reasons": []}
    problem = [("problem", job["problem"]["detail"])] if job["problem"] else []
    return [
        ("adaptation", job["id"]),
        ("state", job["state"]),
        ("verdict", verdict["decision"]),
        *((reason["code"], reason["text"]) for reason in verdict["reasons"]),
        ("version", job["version"] if job["version"] is not None else "-"),
        *problem,
    ]


if __name__ == "__main__":
    main()

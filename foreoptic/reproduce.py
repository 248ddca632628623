"""The commands under `foreoptic reproduce`: one paper each. They read arguments and import nothing heavy before."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from foreoptic import options

app = typer.Typer(help="Make a paper's tables anew.", no_args_is_help=True)


@app.callback()
def papers() -> None:
    """Make a paper's tables anew."""


@app.command()
def homogenization(
    dataset: Annotated[Literal["mnist", "cifar10"], typer.Option(help="Which of the paper's two.")],
    data: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="The data set's .npz.")],
    seeds: Annotated[int, typer.Option(min=1, help="How many draws of the perturbation.")] = 5,
    quick: Annotated[bool, typer.Option("--quick", help="Few images and steps: see that it runs.")] = False,
    kappa: Annotated[
        float | None, typer.Option(min=0, help="Strength of the perturbation; the paper's if unset.")
    ] = None,
    only: Annotated[list[str] | None, typer.Option(help="A row's name, such as 'NN ALL'; may be repeated.")] = None,
    ablate: Annotated[
        bool, typer.Option("--ablate", help="Also the default with one choice undone at a time.")
    ] = False,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "--home", file_okay=False, help="Folder of records and report; an interrupted run goes on."
        ),
    ] = Path("reproduced/homogenization"),
    model: Annotated[str | None, typer.Option(help="Frozen model instead of the one that ships.")] = None,
    verifier: Annotated[str | None, typer.Option(help="Second network instead of the one that ships.")] = None,
    device: Annotated[Literal["cpu", "cuda"], typer.Option(help="Where the paper's network is fitted.")] = "cpu",
    as_json: options.Json = False,
) -> None:
    """Tables 1 to 4 of Willis & Oala (2021), with the paper's figures beside them."""
    from foreoptic.reproducing import Wanted, reproduce_homogenization

    wanted = Wanted(
        dataset, data, seeds, quick, kappa, tuple(only or ()), ablate, output, model, verifier, device, as_json
    )
    reproduce_homogenization(wanted, options.settings())


Mnist = Annotated[
    Path, typer.Option(exists=True, dir_okay=False, help="MNIST: .npz with x_train, y_train, x_test, y_test.")
]
Usps = Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="USPS: .npz, the same.")]
Seeds = Annotated[int, typer.Option(min=1, help="How many seeds; the slowest rows have one.")]
Quick = Annotated[bool, typer.Option("--quick", help="Few images and steps: see that it runs.")]
Only = Annotated[list[str] | None, typer.Option(help="A row's name; may be repeated.")]
Mixed = Annotated[
    bool, typer.Option("--mixed", help="Baselines in bfloat16; a third of the time where the processor has it.")
]
Output = Annotated[
    Path,
    typer.Option("--output", file_okay=False, help="Folder of records and report; an interrupted run goes on."),
]
OUTPUT = Path("reproduced/calibrator")


@app.command()
def calibrator(
    mnist: Mnist,
    usps: Usps = None,
    svhn: Annotated[
        Path | None, typer.Option(exists=True, file_okay=False, help="Folder with train_32x32.mat and test_32x32.mat.")
    ] = None,
    pair: Annotated[
        list[str] | None, typer.Option(help="mnist-usps, usps-mnist or svhn-mnist; all that have files if unset.")
    ] = None,
    seeds: Seeds = 3,
    quick: Quick = False,
    only: Only = None,
    mixed: Mixed = False,
    output: Output = OUTPUT,
    as_json: options.Json = False,
) -> None:
    """Ye et al. (2020) on digits: source kept against target won, ours beside the paper's and the baselines."""
    from foreoptic.reproducing_calibrator import Wanted, chosen_pairs, files_of, reproduce

    files = files_of(mnist, usps, svhn)
    wanted = Wanted(
        chosen_pairs(tuple(pair or ()), files), files, (), tuple(only or ()), seeds, quick, mixed, output, as_json
    )
    reproduce(wanted, options.settings())


@app.command()
def tutorial(
    mnist: Mnist,
    usps: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="USPS: .npz, the same.")],
    seeds: Seeds = 3,
    quick: Quick = False,
    only: Only = None,
    mixed: Mixed = False,
    output: Output = OUTPUT,
    as_json: options.Json = False,
) -> None:
    """The domain adaptation tutorial's table, CycleGAN, DANN and Deep CORAL on MNIST to USPS, with ours beside them."""
    from foreoptic.reproducing_calibrator import Wanted, files_of, reproduce

    files = files_of(mnist, usps, None)
    wanted = Wanted(("mnist-usps",), files, ("tutorial",), tuple(only or ()), seeds, quick, mixed, output, as_json)
    reproduce(wanted, options.settings())

"""The `arco` command: one thin subcommand per stage. Importing this loads no torch."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from arco import jobs, params, trees
from arco.errors import ArcoError
from arco.paths import label_key
from arco.plan import Cell, Plan, PretrainingRun
from arco.progress import reporter
from arco.schema.sections import Variance
from arco.schema.training import Window

OVERLAY_VARIABLE = "ARCO_CONFIG"
"""Environment variable in which the workflow hands its --config values to its jobs."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; returns the exit code (1 after a user's mistake, told in a sentence)."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    options = build_parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], int | None] = options.run
    try:
        return run(options) or 0
    except ArcoError as error:
        sys.stderr.write(f"arco {options.command}: {error}\n")
        return 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has gone
        return 1
    except OSError as error:
        if error.filename is None:
            raise
        reason = (error.strerror or str(error)).lower()
        sys.stderr.write(
            f"arco {options.command}: {error.filename}: {reason}; check that the disk is there and "
            "that you may read it\n"
        )
        return 1
    except KeyboardInterrupt:
        sys.stderr.write(f"arco {options.command}: interrupted\n")
        return 130


def build_parser() -> argparse.ArgumentParser:
    """The command line of every subcommand."""
    parser = argparse.ArgumentParser(
        prog="arco", description="From original downloads to the tables and figures of ARCO."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, run: Callable[[argparse.Namespace], int | None], text: str) -> Any:
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(run=run)
        command.add_argument("--params", type=Path, default=Path("params.yaml"), help="parameters")
        command.add_argument(
            "--configfile", type=Path, action="append", default=[], metavar="FILE",
            help="values that win over the parameters (a protocol); may be repeated",
        )  # fmt: skip
        return command

    def add_job(name: str, run: Callable[[argparse.Namespace], int | None], text: str) -> Any:
        command = add(name, run, text)
        command.add_argument("--job", help=argparse.SUPPRESS)  # from the workflow: all as JSON
        return command

    command = add(
        "doctor", run_doctor, "what is installed, which datasets are found, what is missing"
    )
    command.add_argument("--json", action="store_true", help="print JSON")

    command = add_job(
        "phantom", run_phantom, "write synthetic cases in a dataset's original layout"
    )
    command.add_argument("dataset", nargs="?")
    command.add_argument("--out", type=Path, help="folder to make (default: data/phantom/DATASET)")
    command.add_argument("--cases", type=int, help="patients to write")
    command.add_argument("--seed", type=int, help="seed of the anatomy")

    command = add_job("prepare", run_prepare, "original layout to prepared arrays and a manifest")
    command.add_argument("dataset", nargs="?")
    command.add_argument(
        "--workers",
        "--cores",
        type=int,
        default=1,
        help="processes that share the cases (default: 1)",
    )

    command = add_job("split", run_split, "draw train, val and test, or choose the labeled cases")
    command.add_argument("dataset", nargs="?")
    command.add_argument("--labels", help="a labels entry such as 1%%")

    command = add("plan", run_plan, "the cells and pretrainings that a target needs")
    command.add_argument("target", nargs="?", default="all", help="a table or figure, or all")
    command.add_argument("--json", action="store_true", help="print JSON")

    for name, run, text in (
        ("pretrain", run_pretrain, "train a checkpoint that cells start from"),
        ("finetune", run_finetune, "train one cell"),
        ("evaluate", run_evaluate, "score one cell"),
        ("variance", run_variance, "how much the samplers' contrasts vary at a cell's snapshots"),
    ):
        command = add_job(name, run, text)
        command.add_argument("dataset", nargs="?")
        command.add_argument("labels", nargs="?", help="a labels entry such as 1%%, or all")
        command.add_argument("recipe", nargs="?", help="a recipe, or the name of a pretraining")
        command.add_argument("--seed", type=int, default=0)
        command.add_argument("--threads", type=int, help="CPU threads (default: runtime.threads)")
        if name == "evaluate":
            command.add_argument("--part", choices=("test", "val"), default="test")

    for name, run in (("table", run_table), ("figure", run_figure)):
        command = add_job(name, run, f"make one {name} from evaluated cells")
        command.add_argument("name", nargs="?", help=f"a {name} by number or name")

    command = add("publish", run_publish, "put a made table into a Markdown page, at its markers")
    command.add_argument("name", help="a table by number or name, or a file that `variance` made")
    command.add_argument("--into", type=Path, required=True, metavar="FILE", help="the page")

    command = add("status", run_status, "which cells are done, running, interrupted or missing")
    command.add_argument("target", nargs="?", default="all", help="a table or figure, or all")
    command.add_argument("--json", action="store_true", help="print JSON")
    return parser


def load_plan(options: argparse.Namespace) -> Plan:
    """The plan of the parameters, with what --configfile and the workflow put over them."""
    overlay = json.loads(os.environ.get(OVERLAY_VARIABLE, "{}"))
    for path in options.configfile:
        overlay = trees.merged(overlay, trees.read_yaml(path))
    return Plan(params.load(options.params, overlay))


def read_job(options: argparse.Namespace, build: Callable[[], jobs.Job], *needed: str) -> jobs.Job:
    """The job from --job, or built from the names given by hand."""
    if options.job is not None:
        job: jobs.Job = json.loads(options.job)
        return job
    missing = [name for name in needed if getattr(options, name) is None]
    if missing:
        raise ArcoError(f"which {missing[0]}? See `arco {options.command} --help`")
    return build()


def run_doctor(options: argparse.Namespace) -> int:
    """What is installed and found."""
    from arco import doctor

    report = doctor.examine(load_plan(options))
    show(report.as_dict() if options.json else report.text())
    return 0 if report.healthy else 1


def run_phantom(options: argparse.Namespace) -> None:
    """Write a synthetic dataset."""
    from arco.data.stages import write_phantoms

    job = read_job(options, lambda: jobs.phantom(load_plan(options), options.dataset), "dataset")
    settings = job["settings"]
    write_phantoms(
        settings["layout"],
        options.out or Path(job["out"]),
        patients=options.cases or settings["patients"],
        seed=settings["seed"] if options.seed is None else options.seed,
        report=reporter("phantoms"),
    )


def run_prepare(options: argparse.Namespace) -> None:
    """Prepare a dataset, and by hand its split lists too."""
    from arco.data.stages import prepare

    plan = load_plan(options)
    job = read_job(options, lambda: jobs.prepare(plan, options.dataset), "dataset")
    name = job["settings"]["dataset"]
    entry = plan.dataset(name)
    root = plan.paths.phantom(name) if entry.source == "phantom" else Path(entry.root)
    prepare(job, root, workers=options.workers, report=reporter(f"preparing {name}"))
    if options.job is None:
        write_lists(jobs.split(plan, name))
        for labels in entry.labels:
            write_lists(jobs.split(plan, name, label_key(labels)))


def run_split(options: argparse.Namespace) -> None:
    """Write split lists."""
    labels = None if options.labels is None else label_key(options.labels)
    write_lists(
        read_job(
            options, lambda: jobs.split(load_plan(options), options.dataset, labels), "dataset"
        )
    )


def write_lists(job: jobs.Job) -> None:
    """Write the split lists that a job describes."""
    from arco.data.stages import split

    split(job)


def run_plan(options: argparse.Namespace) -> None:
    """What a target needs and what of it exists."""
    from arco.overview import describe

    overview = describe(load_plan(options), options.target)
    show(overview.as_dict() if options.json else overview.text())


def chosen_cell(options: argparse.Namespace, plan: Plan) -> Cell:
    """The cell that dataset, labels, recipe and seed name."""
    return plan.cell(options.dataset, options.labels, options.recipe, options.seed)


def run_pretrain(options: argparse.Namespace) -> None:
    """Train one checkpoint."""
    plan = load_plan(options)

    def build() -> jobs.Job:
        labels = label_key(options.labels)
        return jobs.pretrain(
            plan, PretrainingRun(options.dataset, labels, options.recipe, options.seed)
        )

    run_training(options, plan, read_job(options, build, "dataset", "labels", "recipe"))


def run_finetune(options: argparse.Namespace) -> None:
    """Train one cell."""
    plan = load_plan(options)

    def build() -> jobs.Job:
        return jobs.finetune(plan, chosen_cell(options, plan))

    run_training(options, plan, read_job(options, build, "dataset", "labels", "recipe"))


def run_training(options: argparse.Namespace, plan: Plan, job: jobs.Job) -> None:
    """Hand a pretraining or fine-tuning job to the training loop."""
    from arco import training

    runtime = plan.parameters.sections.runtime
    paths = {key: Path(value) if value else None for key, value in job.items() if key != "settings"}
    training.train(
        training.Job(settings=job["settings"], **paths),  # type: ignore[arg-type]
        device=runtime.device,
        threads=options.threads or runtime.threads,
        checkpoint_seconds=runtime.checkpoint_seconds,
        report=reporter(job["out"]),
    )


def run_evaluate(options: argparse.Namespace) -> None:
    """Score one cell."""
    from arco.evaluation.evaluate import evaluate_run

    plan = load_plan(options)
    job = read_job(
        options,
        lambda: jobs.evaluate(plan, chosen_cell(options, plan), options.part),
        "dataset",
        "labels",
        "recipe",
    )
    runtime = plan.parameters.sections.runtime
    evaluate_run(
        Path(job["run"]),
        Path(job["prepared"]),
        job["settings"]["part"],
        out=Path(job["out"]),
        predictions=Path(job["predictions"]),
        window=Window.model_validate(window) if (window := job["settings"].get("window")) else None,
        device=runtime.device,
        threads=options.threads or runtime.threads,
        progress=reporter(job["run"]),
    )


def run_variance(options: argparse.Namespace) -> None:
    """Measure the samplers' variances at the snapshots of one cell."""
    from arco.contrast_variance.measure import measure_run
    from arco.provenance import provenance
    from arco.tables.variances import write_variances

    plan = load_plan(options)
    job = read_job(
        options,
        lambda: jobs.variance(plan, chosen_cell(options, plan)),
        "dataset",
        "labels",
        "recipe",
    )
    settings, runtime = job["settings"], plan.parameters.sections.runtime
    rows = measure_run(
        Path(job["run"]),
        Variance.model_validate(settings["variance"]),
        prepared=Path(job["prepared"]),
        training_list=Path(job["training_list"]),
        labeled_list=Path(job["labeled_list"]),
        device=runtime.device,
        threads=options.threads or runtime.threads,
        report=reporter(settings["name"]),
    )
    write_variances(rows, settings, Path(job["out"]), provenance())
    if options.job is None:
        show(Path(job["out"]).with_suffix(".md").read_text(encoding="utf-8"))


def run_table(options: argparse.Namespace) -> None:
    """Make a table from evaluated cells."""
    from arco.provenance import provenance
    from arco.tables.build import build_table
    from arco.tables.comparison import build_comparison

    def build() -> jobs.Job:
        plan = load_plan(options)
        return jobs.table(plan, plan.entry_name("table", options.name))

    job = read_job(options, build, "name")
    write = build_comparison if "comparison" in job["settings"] else build_table
    write(job["settings"], Path(job["out"]), provenance())
    if options.job is None:
        show(Path(job["out"]).with_suffix(".md").read_text(encoding="utf-8"))


def run_publish(options: argparse.Namespace) -> None:
    """Put a table into a page."""
    from arco.tables.publish import publish

    publish(*load_plan(options).printed(options.name), options.into)


def run_figure(options: argparse.Namespace) -> None:
    """Draw a figure from evaluated cells."""
    from arco.figures.sweep import draw_sweep
    from arco.provenance import provenance

    def build() -> jobs.Job:
        plan = load_plan(options)
        return jobs.figure(plan, plan.entry_name("figure", options.name))

    job = read_job(options, build, "name")
    draw_sweep(job["settings"], Path(job["out"]), provenance())


def run_status(options: argparse.Namespace) -> None:
    """How far everything is."""
    from arco import status

    report = status.examine(load_plan(options), options.target)
    show(report.as_dict() if options.json else report.text())


def show(content: str | dict[str, Any]) -> None:
    """Print a result: text as it is, data as JSON."""
    text = content if isinstance(content, str) else json.dumps(content, indent=1)
    sys.stdout.write(text.rstrip("\n") + "\n")


if __name__ == "__main__":
    sys.exit(main())

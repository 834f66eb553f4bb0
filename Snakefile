"""From original downloads to every table and figure. The rules are in workflow/rules."""

import json
import os
from pathlib import Path

from arco import jobs, params, registry, trees
from arco.data.completeness import digest_of_names
from arco.errors import ArcoError
from arco.paths import variance_name
from arco.plan import Cell, Plan, PretrainingRun, canonical
from snakemake.exceptions import WorkflowError

try:
    OVERLAY = trees.typed(config)
    PLAN = Plan(params.load(Path("params.yaml"), OVERLAY))
except ArcoError as error:
    raise WorkflowError(str(error)) from None

# Jobs read machine-specific values (roots of downloads, device) from params.yaml themselves,
# so that moving a download or changing the device reruns nothing.
os.environ["ARCO_CONFIG"] = json.dumps(OVERLAY)

DATA = PLAN.paths.data
RESULTS = PLAN.paths.results
PREPARED = PLAN.paths.prepared("{dataset}")
PRETRAINED = PLAN.paths.pretrained("{dataset}", "{labels}", "{name}", "{seed}")
RUN = PLAN.paths.run("{dataset}", "{labels}", "{recipe}", "{seed}")
VARIANCES = variance_name("{dataset}", "{labels}", "{recipe}", "{seed}")
VARIANT = PLAN.paths.variant
SECTIONS = PLAN.parameters.sections


wildcard_constraints:
    dataset="|".join(SECTIONS.datasets),
    labels=r"[0-9.]+(pct)?|all",
    recipe=r"[A-Za-z0-9_.\-]+",
    name=r"[A-Za-z0-9_.\-]+",
    seed=r"[0-9]+",


localrules:
    all,


rule all:
    default_target: True
    input:
        [PLAN.paths.table(name) for name in PLAN.with_data(PLAN.tables)],
        [PLAN.paths.figure(name) for name in PLAN.with_data(SECTIONS.figures)],


include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/report.smk"

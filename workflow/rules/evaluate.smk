"""Scores of every cell on the native grid of its scans, and predictions as NIfTI.

Also how much ARCO's contrast varies with the sampler, at the snapshots of a cell.
"""


rule evaluate:
    input:
        unpack(lambda w: jobs.evaluation_inputs(jobs.evaluate(PLAN, cell(w), "test"))),
    output:
        metrics=RUN / "metrics.csv",
        predictions=directory(RUN / "predictions"),
    log:
        f"logs/evaluate/{VARIANT}/{{dataset}}/{{labels}}/{{recipe}}/seed{{seed}}-test.log",
    threads: SECTIONS.runtime.threads
    resources:
        gpu=1,
    params:
        job=lambda w: canonical(jobs.evaluate(PLAN, cell(w), "test")),
    shell:
        "arco evaluate --job {params.job:q} --threads {threads} 2> {log}"


use rule evaluate as validate with:
    input:
        unpack(lambda w: jobs.evaluation_inputs(jobs.evaluate(PLAN, cell(w), "val"))),
    output:
        metrics=RUN / "metrics_val.csv",
        predictions=directory(RUN / "predictions_val"),
    log:
        f"logs/evaluate/{VARIANT}/{{dataset}}/{{labels}}/{{recipe}}/seed{{seed}}-val.log",
    params:
        job=lambda w: canonical(jobs.evaluate(PLAN, cell(w), "val")),


rule variance:
    input:
        unpack(lambda w: jobs.variance_inputs(jobs.variance(PLAN, cell(w)))),
    output:
        csv=PLAN.paths.variance(VARIANCES, "csv"),
        markdown=PLAN.paths.variance(VARIANCES, "md"),
        json=PLAN.paths.variance(VARIANCES, "json"),
    log:
        f"logs/variance/{VARIANT}/{VARIANCES}.log",
    threads: SECTIONS.runtime.threads
    resources:
        gpu=1,
    params:
        job=lambda w: canonical(jobs.variance(PLAN, cell(w))),
    shell:
        "arco variance --job {params.job:q} --threads {threads} 2> {log}"

"""Scores of every cell on the native grid of its scans, and predictions as NIfTI."""


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

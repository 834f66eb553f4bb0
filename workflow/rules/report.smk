"""Tables, comparisons and figures from the scores of their cells."""


rule table:
    input:
        lambda w: jobs.report_inputs(jobs.table(PLAN, w.table)),
    output:
        csv=PLAN.paths.table("{table}", "csv"),
        markdown=PLAN.paths.table("{table}", "md"),
        latex=PLAN.paths.table("{table}", "tex"),
        json=PLAN.paths.table("{table}", "json"),
    log:
        "logs/tables/{table}.log",
    wildcard_constraints:
        table="|".join(PLAN.tables),
    params:
        job=lambda w: canonical(jobs.table(PLAN, w.table)),
    shell:
        "arco table --job {params.job:q} 2> {log}"


rule figure:
    input:
        lambda w: jobs.report_inputs(jobs.figure(PLAN, w.figure)),
    output:
        png=PLAN.paths.figure("{figure}", "png"),
        pdf=PLAN.paths.figure("{figure}", "pdf"),
        csv=PLAN.paths.figure("{figure}", "csv"),
        json=PLAN.paths.figure("{figure}", "json"),
    log:
        "logs/figures/{figure}.log",
    wildcard_constraints:
        figure="|".join(SECTIONS.figures),
    params:
        job=lambda w: canonical(jobs.figure(PLAN, w.figure)),
    shell:
        "arco figure --job {params.job:q} 2> {log}"

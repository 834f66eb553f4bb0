"""Pretraining, shared by the cells that start from it, and fine-tuning of every cell."""


def pretrain_job(wildcards):
    """The pretraining that the wildcards name."""
    run = PretrainingRun(
        wildcards.dataset, wildcards.labels, wildcards.name, int(wildcards.seed)
    )
    return jobs.pretrain(PLAN, run)


def cell(wildcards):
    """The cell that the wildcards name."""
    return Cell(
        wildcards.dataset, wildcards.labels, wildcards.recipe, int(wildcards.seed)
    )


rule pretrain:
    input:
        unpack(lambda w: jobs.training_inputs(pretrain_job(w))),
    output:
        weights=PRETRAINED / "weights.safetensors",
        settings=PRETRAINED / "settings.json",
        history=PRETRAINED / "history.csv",
        provenance=PRETRAINED / "provenance.json",
    log:
        f"logs/pretrain/{VARIANT}/{{dataset}}/{{labels}}/{{name}}/seed{{seed}}.log",
    threads: SECTIONS.runtime.threads
    resources:
        gpu=1,
    params:
        job=lambda w: canonical(pretrain_job(w)),
    shell:
        "arco pretrain --job {params.job:q} --threads {threads} 2> {log}"


rule finetune:
    input:
        unpack(lambda w: jobs.training_inputs(jobs.finetune(PLAN, cell(w)))),
    output:
        weights=RUN / "weights.safetensors",
        settings=RUN / "settings.json",
        history=RUN / "history.csv",
        provenance=RUN / "provenance.json",
    log:
        f"logs/finetune/{VARIANT}/{{dataset}}/{{labels}}/{{recipe}}/seed{{seed}}.log",
    threads: SECTIONS.runtime.threads
    resources:
        gpu=1,
    params:
        job=lambda w: canonical(jobs.finetune(PLAN, cell(w))),
    shell:
        "arco finetune --job {params.job:q} --threads {threads} 2> {log}"

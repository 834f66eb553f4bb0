"""Original downloads or phantoms -> prepared arrays and split lists."""


rule phantom:
    output:
        marker=DATA / "phantom/{dataset}.json",
    log:
        "logs/phantom/{dataset}.log",
    params:
        job=lambda w: canonical(jobs.phantom(PLAN, w.dataset)),
    shell:
        "arco phantom --job {params.job:q} 2> {log}"


def original_files(wildcards):
    """Phantoms are made by the workflow; a download is the user's and checked when it is read."""
    if PLAN.dataset(wildcards.dataset).source == "phantom":
        return [DATA / "phantom" / f"{wildcards.dataset}.json"]
    return []


def names_of_original_files(wildcards):
    """A download that grew is prepared again; one that was moved or deleted is not."""
    dataset = PLAN.dataset(wildcards.dataset)
    if dataset.source == "phantom":
        return ""
    return digest_of_names(
        registry.load("data/layouts", dataset.layout),
        Path(dataset.root),
        dataset.subsets,
        PLAN.paths.prepared(wildcards.dataset),
    )


rule prepare:
    input:
        original_files,
    output:
        manifest=PREPARED / "manifest.json",
    log:
        f"logs/prepare/{VARIANT}/{{dataset}}.log",
    threads: 4  # each with a whole scan in memory
    params:
        job=lambda w: canonical(jobs.prepare(PLAN, w.dataset)),
        files=names_of_original_files,
    shell:
        "arco prepare --job {params.job:q} --workers {threads} 2> {log}"


def user_lists(wildcards):
    """Lists that a user put in place of generated ones."""
    return sorted(PLAN.paths.user_splits(wildcards.dataset).glob("*.txt"))


rule split:
    input:
        user_lists,
        manifest=PREPARED / "manifest.json",
    output:
        expand(
            PREPARED / "splits/{part}.txt",
            part=["train", "val", "test"],
            allow_missing=True,
        ),
    log:
        f"logs/split/{VARIANT}/{{dataset}}.log",
    params:
        job=lambda w: canonical(jobs.split(PLAN, w.dataset)),
    shell:
        "arco split --job {params.job:q} 2> {log}"


rule label:
    input:
        user_lists,
        manifest=PREPARED / "manifest.json",
        training=PREPARED / "splits/train.txt",
    output:
        PREPARED / "splits/labeled_{labels}.txt",
    log:
        f"logs/split/{VARIANT}/{{dataset}}-{{labels}}.log",
    params:
        job=lambda w: canonical(jobs.split(PLAN, w.dataset, w.labels)),
    shell:
        "arco split --job {params.job:q} 2> {log}"

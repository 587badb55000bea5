# One rule for some cells, as many as there is work for: its job trains all seeds that have no record yet, together.
# Its parameters are functions, which Snakemake does not compare, so that more seeds, fewer seeds or another study train
# nothing anew. No input is `ancient`: where an ancient one is made again, Snakemake 9 forgets what else needs to run.
# A job that finds all its runs recorded ends at once.
for cells in PLAN.jobs:

    rule:
        name:
            rule_name(cells)
        input:
            TRACKING_READY,
            data_files(cells),
        output:
            [update(str(cell.metrics_file(seed))) for cell in cells for seed in PLAN.study.seeds],
        log:
            f"{LOGS}/{rule_name(cells)}.log",
        conda:
            "../envs/notafluke.yaml"
        threads: 1
        params:
            study=unrecorded(STUDY),
            overrides=unrecorded(OVERRIDES),
            folders=folders_of,
            retrain=retrain_of(workflow, rule_name(cells)),
        message:
            training_message(cells, PLAN)
        shell:
            "notafluke train-cells {params.study:q} --overrides={params.overrides:q} {params.retrain}"
            " {params.folders:q} > {log} 2>&1"

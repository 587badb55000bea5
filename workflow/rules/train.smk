# One rule a cell: its job trains all seeds that have no record yet, together. Seeds and study are parameters that
# Snakemake does not compare, so that more seeds, fewer seeds or another study train nothing anew.
for cell in PLAN.distinct_cells:

    rule:
        name:
            rule_name(cell)
        input:
            ancient(TRACKING_READY),
        output:
            [update(str(cell.metrics_file(seed))) for seed in PLAN.study.seeds],
        log:
            f"{LOGS}/{rule_name(cell)}.log",
        conda:
            "../envs/notafluke.yaml"
        threads: 1
        params:
            overrides=cell.overrides,
            seeds=seeds_of,
            folder=folder_of,
            retrain=retrain_of(workflow, rule_name(cell)),
            study=unrecorded(STUDY),
            study_overrides=unrecorded(OVERRIDES),
        message:
            training_message(cell, PLAN)
        shell:
            "notafluke train {params.overrides:q} seed={params.seeds} execution.retrain={params.retrain}"
            " --expect {params.folder:q} --study {params.study:q} --study-overrides={params.study_overrides:q}"
            " > {log} 2>&1"

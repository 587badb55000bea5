# One rule for each set of data from outside: fetched, checked and stored with their provenance, once. Its folder is named
# after all that the data depend on, so nothing of it is ever out of date.
for folder in PLAN.data_folders:

    rule:
        name:
            data_rule_name(folder)
        output:
            f"{folder}/arrays.npz",
            f"{folder}/provenance.json",
        log:
            f"{LOGS}/{data_rule_name(folder)}.log",
        conda:
            "../envs/notafluke.yaml"
        threads: 1
        params:
            study=unrecorded(STUDY),
            overrides=unrecorded(OVERRIDES),
            folder=data_folder_of,
        message:
            "preparing {params.folder}"
        shell:
            "notafluke prepare {params.study:q} {params.folder:q} --overrides={params.overrides:q} > {log} 2>&1"

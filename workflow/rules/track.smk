# MLflow: the database is created once, before anything trains; afterwards whatever it lacks is added from the records.
# No failure of MLflow stops the workflow: it is told, and the next start tries again.


rule initialise_tracking:
    output:
        touch(TRACKING_READY),
    log:
        f"{LOGS}/initialise_tracking.log",
    conda:
        "../envs/notafluke.yaml"
    threads: 1
    message:
        "creating the MLflow database"
    shell:
        "notafluke track init --tolerant > {log} 2>&1"


rule synchronise_tracking:
    input:
        PLAN.metrics_files(),
    output:
        FOLDER / ".tracking-synchronised",
    log:
        f"{LOGS}/{FOLDER.name}/synchronise_tracking.log",
    conda:
        "../envs/notafluke.yaml"
    threads: 1
    params:
        study=STUDY,
        overrides=OVERRIDES,
    message:
        "adding to MLflow what it lacks of {params.study}"
    shell:
        "notafluke track sync {params.study:q} --overrides={params.overrides:q} --marker={output:q} > {log} 2>&1"

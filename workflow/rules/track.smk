# MLflow: the database is created once, before anything trains; afterwards whatever it lacks is added from the records.


rule initialise_tracking:
    output:
        touch(TRACKING_READY),
    log:
        f"{LOGS}/initialise_tracking.log",
    conda:
        "../envs/notafluke.yaml"
    message:
        "creating the MLflow database"
    shell:
        "notafluke track init > {log} 2>&1"


rule synchronise_tracking:
    input:
        PLAN.metrics_files(),
    output:
        touch(STUDY / ".tracking-synchronised"),
    log:
        f"{LOGS}/{STUDY.name}/synchronise_tracking.log",
    conda:
        "../envs/notafluke.yaml"
    params:
        study=config["study"],
        overrides=config["overrides"],
    message:
        "adding to MLflow what it lacks of {params.study}"
    shell:
        "notafluke track sync {params.study:q} --overrides={params.overrides:q} > {log} 2>&1"

rule decide:
    input:
        PLAN.metrics_files(),
    output:
        STUDY / "tables" / "significance.csv",
        STUDY / "tables" / "significance.md",
        STUDY / "tables" / "scores.csv",
        STUDY / "figures" / "forest.png",
        page=report(STUDY / "tables" / "significance.html", caption="../report/significance.rst", category="Verdicts"),
        forest=report(STUDY / "figures" / "forest.svg", caption="../report/forest.rst", category="Verdicts"),
    log:
        f"{LOGS}/{STUDY.name}/decide.log",
    conda:
        "../envs/notafluke.yaml"
    params:
        study=config["study"],
        overrides=config["overrides"],
        digest=analysis_digest(PLAN),
    message:
        "deciding the claims of {params.study}"
    shell:
        "notafluke decide {params.study:q} --overrides={params.overrides:q} > {log} 2>&1"

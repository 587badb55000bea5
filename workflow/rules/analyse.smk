rule decide:
    input:
        PLAN.metrics_files(),
    output:
        FOLDER / "tables" / "significance.csv",
        FOLDER / "tables" / "significance.md",
        FOLDER / "tables" / "scores.csv",
        FOLDER / "figures" / "forest.png",
        FOLDER / "figures" / "gradient_norms.png",
        page=report(FOLDER / "tables" / "significance.html", caption="../report/significance.rst", category="Verdicts"),
        norms=report(
            FOLDER / "figures" / "gradient_norms.svg", caption="../report/gradient_norms.rst", category="Verdicts"
        ),
        forest=report(FOLDER / "figures" / "forest.svg", caption="../report/forest.rst", category="Verdicts"),
    log:
        f"{LOGS}/{FOLDER.name}/decide.log",
    conda:
        "../envs/notafluke.yaml"
    threads: 1
    params:
        study=STUDY,
        overrides=OVERRIDES,
        digest=analysis_digest(PLAN),
    message:
        "deciding the claims of {params.study}"
    shell:
        "notafluke decide {params.study:q} --overrides={params.overrides:q} > {log} 2>&1"

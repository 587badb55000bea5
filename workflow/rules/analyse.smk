rule decide:
    input:
        PLAN.metrics_files(),
    output:
        table_files(PLAN),
        figure_files(PLAN, "png"),
        page=report(FOLDER / "tables" / "significance.html", caption="../report/significance.rst", category="Verdicts"),
        figures=report(figure_files(PLAN, "svg"), caption="../report/figures.rst", category="Figures"),
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

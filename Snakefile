# What to run. The logic lives in src/notafluke: this file and workflow/rules only connect it.
#   snakemake --cores all
#   snakemake --cores all --config study=demo overrides="activation=tanh,iris seed=range(0,8)"
from snakemake.utils import min_version

min_version("9.0")


configfile: "workflow/config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/track.smk"
include: "workflow/rules/prepare.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/analyse.smk"


rule all:
    default_target: True
    input:
        PLAN.metrics_files(),
        rules.decide.output,
        rules.synchronise_tracking.output if tracks() else [],
    message:
        "all runs are recorded, the claims are decided; the verdicts: notafluke show {STUDY}"


onsuccess:
    tell_of_tracking(FOLDER / ".tracking-synchronised", logger.warning)


onerror:
    tell_of_full_disk(FOLDER.parent, logger.error)
    tell_of_tracking(FOLDER / ".tracking-synchronised", logger.warning)

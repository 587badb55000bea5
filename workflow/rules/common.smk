from notafluke.errors import UsageError
from notafluke.workflow import (
    analysis_digest,
    data_files,
    data_folder_of,
    data_rule_name,
    figure_files,
    folders_of,
    plan_of,
    retrain_of,
    rule_name,
    study_and_overrides,
    table_files,
    take_back,
    tracks,
    training_message,
    unrecorded,
)

try:
    STUDY, OVERRIDES = study_and_overrides(config)
    PLAN = plan_of(STUDY, OVERRIDES)
except UsageError as error:
    raise SystemExit(f"error: {error}")

for warning in PLAN.warnings:
    logger.warning(f"warning: {warning}")

FOLDER = PLAN.folder
LOGS = f"{PLAN.results}/logs"
TRACKING_READY = f"{PLAN.results}/.tracking-ready"

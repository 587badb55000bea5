from notafluke.workflow import (
    analysis_digest,
    data_files,
    data_folder_of,
    data_rule_name,
    figure_files,
    folders_of,
    planned,
    retrain_of,
    rule_name,
    table_files,
    tell_of_full_disk,
    tell_of_tracking,
    tracks,
    training_message,
    unrecorded,
)

STUDY, OVERRIDES, PLAN = planned(config, logger.warning)
FOLDER = PLAN.folder
LOGS = f"{PLAN.results}/logs"
TRACKING_READY = f"{PLAN.results}/.tracking-ready"

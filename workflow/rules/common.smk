from notafluke.errors import UsageError
from notafluke.workflow import (
    analysis_digest,
    folder_of,
    plan_of,
    retrain_of,
    rule_name,
    seeds_of,
    training_message,
    unrecorded,
)

try:
    PLAN = plan_of(config)
except UsageError as error:
    raise SystemExit(f"error: {error}")

for warning in PLAN.warnings:
    logger.warning(f"warning: {warning}")

STUDY = PLAN.folder
LOGS = f"{PLAN.results}/logs"
TRACKING_READY = f"{PLAN.results}/.tracking-ready"

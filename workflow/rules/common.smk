from notafluke.errors import UsageError
from notafluke.workflow import analysis_digest, folder_of, plan_of, retrain_of, rule_name, seeds_of, unrecorded

try:
    PLAN = plan_of(config)
except UsageError as error:
    raise SystemExit(f"error: {error}")

STUDY = PLAN.folder
LOGS = f"{PLAN.results}/logs"
TRACKING_READY = f"{PLAN.results}/.tracking-ready"

"""What all tests share: no property test may fail because the machine is busy, and imported modules stay."""

import gc

from hypothesis import settings

settings.register_profile("notafluke", deadline=None)
settings.load_profile("notafluke")


def pytest_collection_finish() -> None:
    # Whatever the imports have made stays to the end: looking through it at each collection takes half a minute in
    # all, most of it for statsmodels, which collects garbage at each call of multipletests.
    gc.freeze()

"""What all tests share: no property test may fail because the machine is busy."""

from hypothesis import settings

settings.register_profile("notafluke", deadline=None)
settings.load_profile("notafluke")

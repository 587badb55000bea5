"""What all tests share: one thread as in a training, and no property test that fails because the machine is busy."""

from hypothesis import settings

from notafluke.training.determinism import pin_environment

# Before numpy is imported, whose products otherwise take as many threads as there are cores, with other last digits.
pin_environment()

settings.register_profile("notafluke", deadline=None)
settings.load_profile("notafluke")

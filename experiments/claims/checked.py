"""What many claims ask of their settings."""

from jensen.experiments.run.errors import InputError, option


def check_at_least(settings: object, **least: int) -> None:
    """InputError for the first of these settings that is below its least value."""
    for name, low in least.items():
        value = getattr(settings, name)
        if value < low:
            raise InputError(f"expected {option(name)} of at least {low}, got {value}")


def check_seed(seed: int) -> None:
    """InputError for a seed that does not fit."""
    if not 0 <= seed < 2**63:
        raise InputError(f"expected --seed in [0, 2^63), got {seed}")

"""What all settings with sizes share: the check that each is at least 1."""

from jensen.experiments.run.errors import InputError


class Sized:
    """Settings of a kind of model."""

    def check_positive(self, *sizes: tuple[str, int]) -> None:
        """InputError for the first option whose size is below 1."""
        for option, size in sizes:
            if size < 1:
                raise InputError(f"expected {option} of at least 1, got {size}: leave it out for the default")

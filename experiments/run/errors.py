"""What ends a command early. Each is one line to the user, with what to do instead."""


class InputError(ValueError):
    """Something the user gave, or left in a run folder, cannot work; the message is one line that says the fix."""


class NonFiniteError(InputError):
    """A step's loss or gradient is not finite; parameters and state are as they were before it."""


class LostRankError(RuntimeError):
    """A process of this run has ended, or does not answer; the message names it."""


class InterruptError(KeyboardInterrupt):
    """A signal has asked the command to stop; the message says where it stands."""

    def __init__(self, signum: int, stand: str):
        super().__init__(stand)
        self.exit_code = 128 + signum


def option(name: str) -> str:
    """The option of the command line that sets a field, as in ``--lr-warmup``."""
    return "--" + name.replace("_", "-")


def reason(error: BaseException) -> str:
    """What an error of another library says, on one line and in at most 200 characters."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return shown(" ".join(text.split()) or type(error).__name__, 200)


def shown(text: str, width: int = 80) -> str:
    """A value's text, cut where it would fill the screen."""
    return text if len(text) <= width else f"{text[: width - 3]}..."

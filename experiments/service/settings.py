"""How much the service takes on at once, and how long it waits for what."""

from dataclasses import dataclass, fields

from jensen.experiments.deployment.padding import width_of
from jensen.experiments.run.errors import InputError, option


@dataclass(frozen=True)
class Limits:
    """Bounds. Times are in seconds."""

    batch: int = 10
    """Rows of a batch, at most."""
    wait: float = 0.1
    """A batch is run when it is full, or when its first row has waited as long."""
    queue: int = 256
    """Rows of a function that may wait; more are refused with 429."""
    rows: int = 128
    """Rows of a request, at most."""
    requests: int = 256
    """Requests at once; more are refused with 503."""
    connections: int = 1024
    """Connections at once; more are closed with 503."""
    body: int = 8 * 2**20
    """Bytes of a body; more are refused with 413."""
    rate: float = 0.0
    """Requests of one client a second; more are refused with 429, and 0 refuses none."""
    burst: int = 20
    """Requests of one client at once, where there is a rate."""
    deadline: float = 10.0
    """From a request's body to its reply, or to the beginning of a text; 504 after it."""
    text: float = 60.0
    """A text ends after as long."""
    tokens: int = 1024
    """Symbols of a text, at most."""
    buffer: int = 256
    """Parts of a stream that may wait to be read; it ends where there are more."""
    read: float = 10.0
    """A client has as long to send its headers, its body, and to take the reply."""
    stall: float = 4.0
    """A batch that runs for longer turns /healthz red; a process that computes it is ended, and another tries it, which
    has time for it where this is below half of the deadline."""
    failures: int = 5
    """Batches that fail one after another until a model's circuit opens."""
    cooldown: float = 5.0
    """An open circuit refuses requests with 503 for as long, and opens again at the next failure."""

    def check(self) -> None:
        """InputError for what cannot work."""
        for each in fields(self):
            value = getattr(self, each.name)
            if not 0 <= value < 2**40 or (value == 0 and each.name not in ("wait", "rate")):
                raise InputError(
                    f"expected --{option(each.name)[2:]} above 0, got {value}: leave it out for {each.default}"
                )
        if 0 < self.rate < 1e-6:
            raise InputError(f"expected --rate of at least 1e-6, got {self.rate}: leave it out for no limit")
        if self.rows > self.queue:
            raise InputError(
                f"expected --rows of at most --queue, {self.queue}, got {self.rows}: no such request could wait"
            )
        if self.width > 4096:
            raise InputError(f"expected --batch of at most 4096, got {self.batch}: a function takes no more rows")

    @property
    def width(self) -> int:
        """Rows that every batch is padded to, so that all are computed alike."""
        return width_of(self.batch)

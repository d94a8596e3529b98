"""Models that are put in service and taken out of it over HTTP, and read again by a signal.

POST /admin/swap      {"model": "digits", "folder": "runs/new/export"}                    in the newest one's place
                      {"model": "digits", "folder": "runs/new/export", "version": 3}      beside others, or in its place
POST /admin/retire    {"model": "digits", "version": 2}
"""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from jensen.experiments.run.errors import InputError, reason
from jensen.experiments.run.files import Json
from jensen.experiments.service.errors import Refused, bad
from jensen.experiments.service.json_values import got, read
from jensen.experiments.service.models import Models, Version
from jensen.experiments.service.observed import Log

MOST = 2**31  # of a version's number


class Administration:
    """By path: what is done of a body, and its reply."""

    def __init__(self, models: Models, log: Log):
        self._models, self._log = models, log
        self.by_path: dict[str, Callable[[bytes], Awaitable[dict[str, Json]]]] = {
            "/admin/swap": self._swapped,
            "/admin/retire": self._retired,
        }

    async def swap(self, version: Version, folder: Path) -> dict[str, Json]:
        """The new model's name, version and digest. Refused, 400, for a folder that is no sound export."""
        try:
            (new,) = await self._models.load({version: folder})
        except (InputError, OSError, ValueError) as error:
            raise bad("folder", reason(error), "export the run again, and send that folder") from None
        said: dict[str, Json] = {"model": version.name, "version": version.number, "digest": new.digest}
        self._log.write("swap", **said)
        return said

    async def reload(self) -> None:
        """Every model's folder is read again; where it is no sound export, the model stays."""
        for model in self._models.every:
            try:
                await self.swap(model.version, model.folder)
            except Refused as refused:
                self._log.write("swap failed", model=str(model.version), error=refused.error)

    async def _swapped(self, content: bytes) -> dict[str, Json]:
        asked = read(content)
        name, folder = _text(asked, "model"), _text(asked, "folder")
        numbers = self._models.numbers(name)
        return await self.swap(Version(name, _number(asked, numbers[-1])), Path(folder))

    async def _retired(self, content: bytes) -> dict[str, Json]:
        asked = read(content)
        name = _text(asked, "model")
        model = self._models.version(name, str(_number(asked, None)))
        if len(self._models.numbers(name)) == 1:
            raise bad("version", "it is the last one of this model", "swap another in first")
        self._models.take(model)
        said: dict[str, Json] = {"model": name, "version": model.version.number, "digest": model.digest}
        self._log.write("retire", **said)
        return said


def _text(asked: dict[str, Any], name: str) -> str:
    if not isinstance(asked.get(name), str):
        raise bad(
            name, f"expected text, got {got(asked.get(name))}", 'send {"model": "vae", "folder": "...", "version": 2}'
        )
    return asked[name]


def _number(asked: dict[str, Any], default: int | None) -> int:
    number = asked.get("version", default)
    if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number < MOST:
        raise bad("version", f"expected a whole number from 1, got {got(number)}", 'send "version": 2')
    return number

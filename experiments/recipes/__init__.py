"""Named recipes: functions that return the settings of a whole run, which the command line takes as commands."""

from jensen.experiments.recipes.codes import CODES
from jensen.experiments.recipes.generators import GENERATORS
from jensen.experiments.recipes.latents import LATENTS
from jensen.experiments.recipes.sequences import SEQUENCES
from jensen.experiments.recipes.series import SERIES

RECIPES = {**LATENTS, **SERIES, **CODES, **GENERATORS, **SEQUENCES}

"""One flat script per claim, with its settings on top: `python -m jensen.experiments.reproduce` lists them."""

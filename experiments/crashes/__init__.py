"""The demonstration of `experiments.crash`: a service under load whose workers are killed, and what its clients get."""

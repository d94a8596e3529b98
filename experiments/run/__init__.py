"""The loop, and what a run folder is: state, checkpoints, metrics, signals, schedules, errors."""

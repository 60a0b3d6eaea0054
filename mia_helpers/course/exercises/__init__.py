"""Checks for the notebooks' exercises, one module a notebook: `exercise_N_M(answer)` prints whether and why not."""

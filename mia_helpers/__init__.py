"""Membership inference, step by step: the small package behind the notebooks.

Torch side (images in, logits out): `data`, `models`, `training`. NumPy side (logits in, scores and intervals out):
`signals`, `attacks`, `metrics`. What the reader sees: `plots`, `widgets`, `checks`.
"""

__version__ = "0.1.0"

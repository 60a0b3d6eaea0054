"""Membership inference, step by step: the small package behind the notebooks.

Torch side (images in, logits out): `data`, `models`, `training`, `shadows`, `private` (DP-SGD), `adversaries` (label-only
and white-box). NumPy side (logits in, scores and intervals out): `signals`, `attacks`, `metrics`, `defences`. What the
reader sees: `plots`, `widgets`, `checks`, `exercises`. The whole chain for somebody else's model: `audit`.
"""

__version__ = "0.1.0"

"""Membership inference, step by step: the small package behind the notebooks.

The engine. Torch side (images in, logits out): `data`, `models`, `training`, `shadows`, `private` (DP-SGD), `defences`,
`label_only`, `white_box`, `attack_network`. NumPy side (logits in, scores and intervals out): `bank`, `signals`, `attacks`,
`metrics`, `masks`. Under them: `ask` (a model of any kind), `inputs` (checks), `cache`, `keys`, `weights`, `seeds`, `plots`.

Two rooms: `audit`, the whole chain for somebody else's model, and `course`, what exists only for the lessons. They use the
engine; it uses neither.
"""

__version__ = "0.1.0"

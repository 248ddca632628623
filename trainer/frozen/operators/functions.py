"""Functions of one number, applied to each element; those that networks use as activations are in `activation.py`.

A function with steps (Round, Sign) has a gradient of zero, as its derivative is almost everywhere.
"""

import torch

from trainer.frozen.operators import operator, plain

operator("Abs", versions=(6, 13))(plain(torch.abs))
operator("Neg", versions=(6, 13))(plain(torch.neg))
operator("Reciprocal", versions=(6, 13))(plain(torch.reciprocal))
operator("Sqrt", versions=(6, 13))(plain(torch.sqrt))
operator("Exp", versions=(6, 13))(plain(torch.exp))
operator("Log", versions=(6, 13))(plain(torch.log))
operator("Erf", versions=(9, 13))(plain(torch.erf))

operator("Ceil", versions=(6, 13))(plain(torch.ceil))
operator("Floor", versions=(6, 13))(plain(torch.floor))
operator("Round", versions=(11, 22))(plain(torch.round))
operator("Sign", versions=(9, 13))(plain(torch.sign))

operator("Sin", versions=(7, 22))(plain(torch.sin))
operator("Cos", versions=(7, 22))(plain(torch.cos))
operator("Tan", versions=(7, 22))(plain(torch.tan))
operator("Asin", versions=(7, 22))(plain(torch.asin))
operator("Acos", versions=(7, 22))(plain(torch.acos))
operator("Atan", versions=(7, 22))(plain(torch.atan))
operator("Sinh", versions=(9, 22))(plain(torch.sinh))
operator("Cosh", versions=(9, 22))(plain(torch.cosh))
operator("Asinh", versions=(9, 22))(plain(torch.asinh))
operator("Acosh", versions=(9, 22))(plain(torch.acosh))
operator("Atanh", versions=(9, 22))(plain(torch.atanh))

"""The game between a corrector and two discriminators, after Ye et al., "Light-weight calibrator" (2020).

Four groups of images: source, target, and both corrected. The discriminators tell the groups apart, one by what the
frozen model makes of an image, one by the shuffled pixels of a patch; the corrector is fitted so that both take what it
has corrected for source images. `game.py` has the rules, `discriminators.py` the two players, `paper.py` a fit by
nothing else, as in the paper.
"""

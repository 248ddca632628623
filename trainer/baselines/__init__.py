"""What may change the model, for comparison only: nothing here is a method, and nothing here is ever served.

One file a baseline. Each takes a copy of a classifier, labelled source images and unlabelled target images, and gives
the changed copy: what a corrector in front of the untouched model is measured against.
"""

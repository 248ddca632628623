"""One file a method; the file's name is the method's.

A method defines `Config`, a frozen dataclass with every choice and its default, and

    fit(task: Task, config: Config) -> Corrector

and may define `PRESETS`, other configurations by name; a job gets the one called `cascade`, or `Config()`. One that
cannot do without source images says so with a line `NEEDS_SOURCE = True`; one that asks for sure answers with
`FITS_ANSWERS = True`, so that the gate does not take them for evidence. `fit` uses of the batch only `task.fit` and
`task.select`, draws only from `task.seed`, leaves the frozen model untouched, and gives the same corrector for the same
task. Tests in `tests/trainer/test_methods.py` hold every method to that.
"""

"""Changes formulas, one place at a time, and says which changes no test notices.

    python -m tests.mutation                                  # every area: hours
    python -m tests.mutation metrics statistics --limit 6     # areas, six places spread over each file
    python -m tests.mutation segcam/metrics/iou.py            # one file, every place
    python -m tests.mutation segcam/metrics --bodies          # each function's body becomes an error

Changed are operators, comparisons, conditions, constants, bounds, reductions, branches, NaN and signs. Types,
docstrings, texts, decorators, default values and assertions are left alone, and so are errors with the conditions that
end in them: they are no formulas, and have tests of their own. Bounds that are strict do not become loose ones, since
of numbers with fractions nobody could tell.

Each change runs in a process of its own, in which the changed source is what gets imported, against the file's own
doctests and the tests of its area, until the first of them fails. Processes that a test starts itself import the source
as it is. A change that all tests pass is a survivor; `equivalent.toml` names those that change no result, with the
reason. The command ends with 1 where there is any other.
"""

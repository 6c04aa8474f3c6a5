"""Bad input at length: every reader on changed files and on garbage, and random documents through every pair of formats.

    make fuzz ARGS="--format docker-labels --count 100000"     # one reader; without --format all of them
    make long                                                  # 100,000 conversions of (document, pair of formats)

A reader may refuse whatever it likes, in words. It may not raise, say `bug.…`, die of a signal, or take over a second of
CPU for one input. What makes one do so is kept in `crashes/` as a file, and read again by the normal suite for ever.

Inputs are numbered: format, seed and number make the same input anywhere, so that one that killed its process is known.
"""

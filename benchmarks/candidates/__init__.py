"""One file per library, each with the same two functions.

``start(threads)`` sets the library up and returns what versions are running; ``build(variant, case,
arrays)`` returns the `Task` of a case. A candidate is written as its users would write it, with what its
documentation recommends, and computes the same numbers as the others: that is checked in every run.
"""

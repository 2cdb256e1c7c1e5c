"""A step recorded once and replayed; `capture` is the one name of this package that users see.

`traced` arrays note what is done to them, `calls` keeps the calls on a tape, `program` runs them again over
memory set aside for them: by `table`, if it can, with `loops` of NumPy's. `sources` knows what a function
reads beside its arguments, `recording` makes and checks a recording, `updates` does so for the steps of an
optimizer, `turns` keeps threads and forked
processes out of each other's way.
"""

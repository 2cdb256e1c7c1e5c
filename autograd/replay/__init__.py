"""A step recorded once and replayed: `capture` is the door, and what users see of this package.

`traced` arrays note what is done to them, `calls` keeps the list, `program` runs it again over memory set
aside for it. `sources` knows what a function reads beside its arguments, `recording` makes and checks a
recording, `turns` keeps threads and forked processes out of each other's way.
"""

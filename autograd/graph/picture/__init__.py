"""From a graph as `reading`, `fold` and `timesteps` see it to a picture: `draw`, `diff`, `render`."""

"""The page of the player: what values are called, where operations stand, the numbers, and how it looks.

    names     of values: h_3, f_3, tanh(c_3)
    scenes    which operations are drawn together, as one step is, and where each stands
    numbers   what the page knows, as JSON
    page      one HTML file of page.html, page.css and the scripts

In names, ``{@}`` is the number of the step that is looked at and ``{@-1}`` of the one before, so that what
is the same in all steps is written once.
"""

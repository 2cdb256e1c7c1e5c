"""What follows a layout: themes, subscripts, sizes that follow the page, words for readers of the screen.

A theme changes colours in DOT; all else changes the SVG that Graphviz wrote. PNG and PDF stay as they are.
"""

import colorsys
import re
from collections.abc import Mapping
from html import escape
from typing import NamedTuple

SLIDE = 1280, 720  # pixels
LEAST = 18.0  # pixels, of text on a slide
SMALL = 13.0  # points: smaller text is made so large on a slide
PIXELS = 4 / 3  # in a point
COLOUR = re.compile(r'"(#[0-9a-fA-F]{6}|white)"')
SIZES = re.compile(r'<svg width="([\d.]+)pt" height="([\d.]+)pt"\s+viewBox="([^"]+)"')
TEXT = re.compile(r"(<text [^>]*>)([^<]*)(</text>)")
SUBSCRIPT = re.compile(r"(?<![A-Za-z0-9_])([A-Za-zΑ-Ωα-ω]{1,2})_([A-Za-z0-9]{1,4})(?![A-Za-z0-9_])")
DARK = "#15181d"  # what a dark page is like


class About(NamedTuple):
    """What a picture is, for those who cannot see it, and how large it is to be."""

    title: str = ""
    description: str = ""
    slide: bool = False


def dark(colour: str) -> str:
    """The colour of the same hue that stands out from black as the given one does from white.

    >>> from autograd.graph.picture.finish import dark
    >>> dark("#ffffff"), dark("#000000")
    ('#15181d', '#ffffff')
    """
    if colour in ("white", "#ffffff"):
        return DARK
    red, green, blue = [c / 255 for c in bytes.fromhex(colour[1:])]
    hue, light, saturation = colorsys.rgb_to_hls(red, green, blue)
    pale = light > 0.6  # a fill, on which text is light
    return _hex(
        *colorsys.hls_to_rgb(hue, 1.0 - (0.97 if pale else 0.92) * light, saturation * (0.7 if pale else 1.0))
    )


def _hex(*parts: float) -> str:
    return "#" + "".join([f"{round(255 * part):02x}" for part in parts])


def themed(text: str, theme: str) -> str:
    """DOT in the colours of a theme."""
    return COLOUR.sub(lambda m: f'"{dark(m[1])}"', text) if theme == "dark" else text


def themed_values(values: Mapping[str, str], theme: str) -> dict[str, str]:
    """Attributes in the colours of a theme."""
    return {k: themed(f'"{v}"', theme)[1:-1] for k, v in values.items()}


def enlarged(text: str) -> str:
    """DOT without text that is small on a slide."""
    return re.sub(r'fontsize="([\d.]+)"', lambda m: f'fontsize="{max(float(m[1]), SMALL):g}"', text)


def finished(svg: str, about: About) -> str:
    """An SVG that is as wide as its page at most, with subscripts, a title and a description."""
    found = SIZES.search(svg)
    if found is None:
        return svg
    left, top, width, height = map(float, found[3].split())
    if about.slide:
        (wide, high), scale = SLIDE, min(SLIDE[0] / width, SLIDE[1] / height)
        left, top = left - (wide / scale - width) / 2, top - (high / scale - height) / 2
        width, height = wide / scale, high / scale
        size = f'width="{wide}" height="{high}"'
    else:
        size = f'width="{width * PIXELS:.0f}" height="{height * PIXELS:.0f}"'
    box = f'viewBox="{left:.2f} {top:.2f} {width:.2f} {height:.2f}"'
    style = 'style="max-width:100%;height:auto" role="img"'
    svg = f"{svg[: found.start()]}<svg {size} {style} {box}{svg[found.end() :]}"
    end = svg.index(">", svg.index("<svg ")) + 1
    words = [(tag, text) for tag, text in (("title", about.title), ("desc", about.description)) if text]
    svg = svg[:end] + "".join([f"\n<{tag}>{escape(text)}</{tag}>" for tag, text in words]) + svg[end:]
    return TEXT.sub(lambda m: m[1] + _with_subscripts(m[2]) + m[3], svg)


def _with_subscripts(text: str) -> str:
    """W_hh with its hh below the line."""
    parts: list[str] = []
    end = 0
    for found in SUBSCRIPT.finditer(text):
        parts.append(_risen(text[end : found.start()] + found[1], bool(parts)))
        parts.append(f'<tspan dy="0.25em" font-size="70%">{found[2]}</tspan>')
        end = found.end()
    return "".join([*parts, _risen(text[end:], bool(parts))]) if parts else text


def _risen(text: str, is_after: bool) -> str:
    """Text that goes on after a subscript: back on the line, from which 0.25 of 70 % had gone down."""
    return f'<tspan dy="-0.175em">{text}</tspan>' if text and is_after else text


def smallest_text(svg: str) -> float:
    """The size of the smallest text of a finished slide, in pixels."""
    found = re.search(r'<svg width="(\d+)"[^>]*viewBox="[^ ]+ [^ ]+ ([\d.]+)', svg)
    sizes = [float(size) for size in re.findall(r'<text [^>]*font-size="([\d.]+)"[^>]*>[^<]*[^<\s]', svg)]
    scale = float(found[1]) / float(found[2]) if found else 0.0
    return min(sizes, default=LEAST / (scale or 1.0)) * scale


def fits(svg: str) -> bool:
    """Can all of a finished slide be read?"""
    return smallest_text(svg) >= LEAST - 1e-3

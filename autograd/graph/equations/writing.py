"""Python expressions as mathematics, in LaTeX or on a line of text.

    h[t] = tanh(x[t] @ U + h[t - 1] @ W)    becomes    hₜ = tanh(xₜ U + hₜ₋₁ W)

Products of matrices stand side by side, those by elements have a circle; a comparison in brackets is 1 where
it holds, and else 0. Calls that only make room for broadcasting are not written.
"""

import ast
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

LETTERS = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon phi"
    " chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega"
)
GREEK = dict(zip("αβγδεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΦΨΩ", LETTERS.split(), strict=True))
ACCENTS = {"\u0302": "hat", "\u0303": "tilde", "\u0304": "bar", "\u0307": "dot"}
LOWER = str.maketrans("0123456789+−t ", "₀₁₂₃₄₅₆₇₈₉₊₋ₜ ")
UPPER = str.maketrans("0123456789+−t()", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ᵗ⁽⁾")
SUM, PRODUCT, POWER, ATOM = range(4)  # how tightly an expression holds together
KNOWN = ("cos", "exp", "log", "max", "min", "sin", "tanh")  # functions that LaTeX has
RENAMED = {"maximum": "max", "minimum": "min", "cast": ""}
BELOW = ("cast", "cumsum", "flip", "reshape", "softmax", "transpose")  # their settings stand below
COMPARED = {ast.Gt: (">", ">"), ast.GtE: ("≥", r"\geq"), ast.LtE: ("≤", r"\leq"), ast.Eq: ("=", "="),
            ast.In: ("∈", r"\in")}  # fmt: skip
CONVOLVED = {
    "conv": ("⋆", r"\star"),
    "conv_transpose": ("⋆ᵀ", r"\star^{\top}"),
    "conv_weight": ("⋆ʷ", r"\star^{w}"),
    "convolve": ("∗", r"\ast"),
}
NUMERIC = ("expand", "exp", "log", "sigmoid", "tanh")  # of a number they are a number


@dataclass(frozen=True)
class Symbol:
    """What a name stands for.

    Attributes:
        name, below: a letter or word, and what stands below it.
        timed: is there one for every step?
        shape: of the value.
        gradient: is it the gradient of the value of that name?
    """

    name: str
    below: tuple[str, ...] = ()
    timed: bool = False
    shape: tuple[int, ...] = ()
    gradient: bool = False


class Writer:
    """Writes expressions.

    Args:
        symbols: what names stand for.
        settings: indices and operations that expressions name.
        latex: in LaTeX?
        upper: do steps stand above, in parentheses, and not below?
    """

    def __init__(
        self, symbols: Mapping[str, Symbol], settings: Mapping[str, Any], latex: bool, upper: bool = False
    ):
        self.symbols, self.settings, self.latex, self.upper = symbols, settings, latex, upper

    def __call__(self, tree: ast.expr) -> str:
        return self._write(tree)[0]

    def _either(self, text: str, latex: str) -> str:
        return latex if self.latex else text

    def _held(self, tree: ast.expr, level: int) -> str:
        """In parentheses unless it holds together at least so tightly."""
        text, own = self._write(tree)
        return text if own >= level else self._either(f"({text})", rf"\left({text}\right)")

    def _write(self, tree: ast.expr) -> tuple[str, int]:
        """The expression, and how tightly it holds together."""
        match tree:
            case ast.Name(id=name):
                return self.symbol(name), ATOM
            case ast.Subscript(value=ast.Name(id=name), slice=step) if self._is_timed(name):
                return self.symbol(name, step_of(step)), ATOM
            case ast.Subscript(value=x, slice=index):
                return self._indexed(x, ast.unparse(index).strip("()"))
            case ast.Constant(value=value):
                return f"{value:g}" if isinstance(value, float) else str(value), ATOM
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return f"{self._either('−', '-')}{self._held(operand, PRODUCT)}", SUM
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                sign = self._either(*COMPARED[type(op)])
                return f"[{self(left)} {sign} {self(right)}]", ATOM
            case ast.Tuple(elts=parts):
                return f"({', '.join(map(self, parts))})", ATOM
            case ast.Set(elts=parts):
                return self._either("{%s}", r"\{%s\}") % ", ".join(map(self, parts)), ATOM
            case ast.BinOp(left=left, op=op, right=right):
                return self._binary(left, op, right)
            case ast.Call(func=ast.Name(id=name) | ast.Subscript(value=ast.Name(id=name)), args=arguments):
                return self._call(name, arguments)
        raise TypeError(f"formula has no notation for {ast.unparse(tree)}")

    # -- symbols

    def _is_timed(self, name: str) -> bool:
        return name in self.symbols and self.symbols[name].timed

    def symbol(self, name: str, step: str = "") -> str:
        """A symbol, of a step: hₜ₋₁, W_hh, and of a gradient gW_hh, in LaTeX with a bar."""
        symbol = self.symbols.get(name) or Symbol(name)
        below = [self._word(part) for part in symbol.below]
        letter = self._word(symbol.name)
        if not self.latex:
            text = ("g" if symbol.gradient else "") + letter + ("_" + ",".join(below) if below else "")
            if step and self.upper:
                return text + f"({step})".replace(" ", "").translate(UPPER)
            return text + step.replace(" ", "").translate(LOWER)
        letter = rf"\bar{{{letter}}}" if symbol.gradient else letter
        below += [step.replace("−", "-")] if step and not self.upper else []
        letter += f"_{{{','.join(below)}}}" if below else ""
        return letter + (f"^{{({step.replace('−', '-')})}}" if step and self.upper else "")

    def _word(self, word: str) -> str:
        """A name as it stands in a formula: h₀, ŷ, σ, and words upright."""
        if not self.latex:
            return word
        parts: list[str] = []
        for c in unicodedata.normalize("NFD", word):
            if c in ACCENTS and parts:
                parts[-1] = rf"\{ACCENTS[c]}{{{parts[-1]}}}"
            elif unicodedata.normalize("NFKC", c).isdigit() and not c.isascii() and parts:
                sign = "^" if unicodedata.decomposition(c).startswith("<super>") else "_"
                end = f"{unicodedata.normalize('NFKC', c)}}}"
                same = parts[-1].endswith("}") and f"{sign}{{" in parts[-1]
                parts[-1] = parts[-1][:-1] + end if same else f"{parts[-1]}{sign}{{{end}"
            elif c == "′":
                parts.append("'")
            else:
                parts.append(rf"\{GREEK[c]} " if c in GREEK else c)
        plain = "".join(parts)
        if (
            len(word) > 2
            and word.replace(" ", "").replace("_", "").isalnum()
            and word.isascii()
            and not word.isdigit()
        ):
            return rf"\mathrm{{{word.replace('_', chr(92) + '_').replace(' ', chr(92) + ' ')}}}"
        if plain.isascii() and not set(plain) & set("#$%&~"):
            return plain.strip().replace("_{", "\0").replace("_", r"\_").replace("\0", "_{")
        return rf"\mathrm{{{''.join([c if c.isalnum() else ' ' for c in word])}}}"

    # -- operators

    def _is_number(self, tree: ast.expr) -> bool:
        """Is it a number, and no array?"""
        match tree:
            case ast.Constant() | ast.Compare(left=ast.Name(id="t")):
                return True
            case ast.Name(id=name) | ast.Subscript(value=ast.Name(id=name)) if name in self.symbols:
                return self.symbols[name].shape == ()
            case ast.UnaryOp(operand=operand):
                return self._is_number(operand)
            case ast.BinOp(left=left, right=right):
                return self._is_number(left) and self._is_number(right)
            case ast.Call(func=ast.Name(id=name), args=[x, *_]) if name in NUMERIC:
                return self._is_number(x)
        return False

    def _binary(self, left: ast.expr, op: ast.operator, right: ast.expr) -> tuple[str, int]:
        minus = self._either("−", "-")
        match op:
            case ast.Add() if isinstance(right, ast.UnaryOp):
                return f"{self._held(left, SUM)} {minus} {self._held(right.operand, PRODUCT)}", SUM
            case ast.Add():
                return f"{self._held(left, SUM)} + {self._held(right, SUM)}", SUM
            case ast.Sub():
                return f"{self._held(left, SUM)} {minus} {self._held(right, PRODUCT)}", SUM
            case ast.Mult():
                return self._product(left, right), PRODUCT
            case ast.MatMult():
                return f"{self._factor(left, '@')}{self._space}{self._factor(right, '@', True)}", PRODUCT
            case ast.Div() if self.latex:
                return rf"\frac{{{self(left)}}}{{{self(right)}}}", PRODUCT
            case ast.Div():
                return f"{self._held(left, PRODUCT)} / {self._held(right, POWER)}", PRODUCT
            case ast.Pow():
                return self._power(left, right), POWER
        raise TypeError(f"formula has no notation for the operator {type(op).__name__}")

    @property
    def _space(self) -> str:
        return self._either(" ", r"\, ")

    def _product(self, left: ast.expr, right: ast.expr) -> str:
        if _is_spread(left) and not _is_spread(right) and not self._is_number(right):
            left = _spared(left)
        if _is_spread(right) and not _is_spread(left) and not self._is_number(left):
            right = _spared(right)
        plain = isinstance(right, ast.Constant) and not isinstance(left, ast.Constant)
        if plain or (self._is_number(right) and not self._is_number(left)):
            left, right = right, left  # 2 x, and not x 2
        if self._is_number(left):
            return f"{self._factor(left, 'number')}{self._space}{self._factor(right, 'number', True)}"
        circle = self._either("∘", r"\odot")
        return f"{self._factor(left, '*')} {circle} {self._factor(right, '*', True)}"

    def _factor(self, tree: ast.expr, sign: str, last: bool = False) -> str:
        """A factor of a product. It has no parentheses if it is no product itself; behind a number; and as
        the first of two, if it is one of the same sort or with a number."""
        free = sign == "number"
        if isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.Div):
            free = self.latex or (free and last)
        elif isinstance(tree, ast.BinOp) and not last:
            has_number = self._is_number(tree.left) or self._is_number(tree.right)
            sort = "@" if isinstance(tree.op, ast.MatMult) else "number" if has_number else "*"
            free = free or sort in (sign, "number")
        return self._held(tree, PRODUCT if free else POWER)

    def _power(self, x: ast.expr, n: ast.expr) -> str:
        raised = isinstance(x, ast.Subscript) and self.upper
        text = self._held(x, ATOM)
        text = self._either(f"({text})", rf"\left({text}\right)") if raised else text
        exponent = self(n)
        if self.latex:
            return f"{self._braced(text)}^{{{exponent}}}"
        small = exponent.translate(UPPER)
        return text + (small if not set(small) & set(exponent) else f"^{self._held(n, ATOM)}")

    def _braced(self, text: str) -> str:
        """Ready to have something above it."""
        return f"{{{text}}}" if self.latex and "^" in text and not text.endswith(")") else text

    # -- calls

    def _call(self, name: str, arguments: list[ast.expr]) -> tuple[str, int]:
        x = arguments[0]
        match name:
            case "expand":
                return self._write(x)
            case "spread":
                return (
                    f"{self._held(x, PRODUCT)}{self._space}{self._either('𝟏', chr(92) + 'mathbf{1}')}",
                    PRODUCT,
                )
            case "ones":
                return self._either("𝟏", r"\mathbf{1}"), ATOM
            case "zeros":
                return "0", ATOM
            case "T":
                return self._braced(self._held(x, ATOM)) + self._either("ᵀ", r"^{\top}"), POWER
            case "outer":
                turned = ast.Call(ast.Name("T"), [x], [])
                return self._write(ast.BinOp(turned, ast.MatMult(), arguments[1]))
            case "sum":
                return self._over(_below(arguments[1]), x), PRODUCT
            case "unbroadcast":
                whole = ast.literal_eval(arguments[2]) == ()
                return self._over("" if whole else _below(arguments[1]), x), PRODUCT
            case "total":
                return self._total(x), PRODUCT
            case "sqrt" | "abs":
                text = {"sqrt": ("√(%s)", r"\sqrt{%s}"), "abs": ("|%s|", r"\left|%s\right|")}[name]
                return self._either(*text) % self(x), ATOM
            case "part":
                start, stop, axis = [ast.literal_eval(a) for a in arguments[1:]]
                return self._indexed(x, ":, " * axis + f"{start}:{stop}")
            case "pick":
                return self._indexed(x, ":, " * ast.literal_eval(arguments[2]) + step_of(arguments[1]))
            case "at":
                return self._indexed(x, "i")
            case "concat" | "stack":
                return self._row(x), ATOM
            case "scatter":
                index = arguments[1]
                below = ast.unparse(index.slice).strip("()") if isinstance(index, ast.Subscript) else "i"
                return self._function("scatter", f"[{below}]", [x]), ATOM
            case "einsum":
                below = ast.literal_eval(x).replace("->", self._either("→", r"\to "))
                return self._function("einsum", below, arguments[1:]), ATOM
        if name in CONVOLVED:
            sign = self._either(*CONVOLVED[name])
            return f"{self._factor(x, 'conv')} {sign} {self._factor(arguments[1], 'conv', True)}", PRODUCT
        if name in self.settings:
            setting = self.settings[name]
            called = next(iter(setting.values())).name if isinstance(setting, dict) else setting.name
            if name.startswith("vjp_"):
                return self._derivative(called, *arguments), PRODUCT
            return self._function(called, "", arguments), ATOM
        if name in ("max", "min"):
            return self._function(name, _below(arguments[1]), [x]), ATOM
        if name == "pad":
            return self._function(name, "", [x]), ATOM
        if name in BELOW:
            below = _below(arguments[1])
            if name == "reshape":
                below = below.replace(",", self._either("×", r"\times "))
            return self._function(
                RENAMED.get(name, name) or below, below if name != "cast" else "", [x]
            ), ATOM
        return self._function(RENAMED.get(name, name), "", arguments), ATOM

    def _derivative(self, name: str, i: ast.expr, gy: ast.expr, y: ast.expr, *xs: ast.expr) -> str:
        """A gradient for which there is no notation: gy ∂y/∂x."""
        of = self._held(y, ATOM) if isinstance(y, ast.Name | ast.Subscript) else self._word(name)
        by = self._held(xs[ast.literal_eval(i)], ATOM)
        ratio = self._either(f"∂{of}/∂{by}", rf"\frac{{\partial {of}}}{{\partial {by}}}")
        return f"{self._held(gy, PRODUCT)}{self._space}{ratio}"

    def _function(self, name: str, below: str, arguments: Iterable[ast.expr]) -> str:
        given = ", ".join(map(self, arguments))
        if not self.latex:
            name = "σ" if name == "sigmoid" else name
            return f"{name}{'_' + below if below else ''}({given})"
        sign = (
            rf"\{name}" if name in KNOWN else r"\sigma" if name == "sigmoid" else rf"\operatorname{{{name}}}"
        )
        return sign + (f"_{{{below}}}" if below else "") + rf"\left({given}\right)"

    def _indexed(self, x: ast.expr, index: str) -> tuple[str, int]:
        index = self._either(index, index.replace(":", "{:}"))
        return f"{self._held(x, ATOM)}[{index}]", ATOM

    def _over(self, below: str, x: ast.expr) -> str:
        """A sum over axes."""
        small = below.translate(LOWER) if below else ""
        return self._either(f"Σ{small} ", rf"\sum_{{{below}}} " if below else r"\sum ") + self._held(
            x, PRODUCT
        )

    def _total(self, terms: ast.expr) -> str:
        """A sum over steps."""
        match terms:
            case ast.GeneratorExp(elt=term, generators=[ast.comprehension(iter=steps)]):
                text = self._held(term, PRODUCT)
                return self._either(f"Σₜ {text}", rf"\sum{self._bounds(steps)} {text}")
        raise TypeError(f"formula has no notation for {ast.unparse(terms)}")

    def _row(self, parts: ast.expr) -> str:
        """Arrays that are joined."""
        match parts:
            case ast.ListComp(elt=term, generators=[ast.comprehension(iter=steps)]):
                return self._either(f"[{self(term)}]ₜ", rf"\left[{self(term)}\right]{self._bounds(steps)}")
            case ast.List(elts=elements):
                text = self._either("; ", r";\, ").join(map(self, elements))
                return self._either(f"[{text}]", rf"\left[{text}\right]")
        raise TypeError(f"formula has no notation for {ast.unparse(parts)}")

    def _bounds(self, steps: ast.expr) -> str:
        """The first and the last step of a sum."""
        values = list(eval(ast.unparse(steps)))
        if isinstance(steps, ast.Call) and len(values) > 1:
            return f"_{{t={values[0]}}}^{{{values[-1]}}}"
        return rf"_{{t \in \{{{', '.join(map(str, values))}\}}}}"

    def steps(self, steps: ast.expr) -> str:
        """For which steps: t = 0, …, 9."""
        values = list(eval(ast.unparse(steps)))  # a range or a list of numbers
        ends = values if len(values) < 4 else [values[0], self._either("…", r"\dots"), values[-1]]
        return f"t = {', '.join(map(str, ends))}" if len(values) > 1 else f"t = {values[0]}"


def step_of(index: ast.expr) -> str:
    """A step as it is written: t − 1."""
    return ast.unparse(index).replace("-", "−")


def _below(setting: ast.expr) -> str:
    """Axes, a shape or a type as it stands below a function; nothing for all axes."""
    value = ast.literal_eval(setting)
    return "" if value is None else str(value).strip("(),").replace(" ", "")


def _spared(tree: ast.expr) -> ast.expr:
    """A factor without what spreads it: the other factor is as large."""
    match tree:
        case ast.BinOp(left=left, op=ast.Mult() as op, right=right):
            return ast.BinOp(_spared(left), op, _spared(right))
        case ast.Call(func=ast.Name(id="spread" | "expand"), args=[x, *_]):
            return _spared(x)
    return tree


def _is_spread(tree: ast.expr) -> bool:
    match tree:
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            return _is_spread(left) or _is_spread(right)
        case ast.Call(func=ast.Name(id="spread")):
            return True
    return False

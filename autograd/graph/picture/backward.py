"""What every operation gives back to its inputs, as formulas: its rule with the names at hand.

``gb = gy a`` of a product becomes ``dc ∘ f`` where its output is added to a cell state c and a is a gate f. A
value without a name that is used once has no gradient of its own in the formulas: that of its only use stands
in its place, as on paper.
"""

import re

from ...core import SCALARS, Function
from ...ops import elementwise, shape
from ...ops.linalg import AddMM, Linear, MatMul
from ..reading import Item, Leaf, Output, Reading
from .labels import MOVERS
from .names import Names, symbol

ENTRY = re.compile(r"g(\w+) = ((?:[^,;(\[]|\([^)]*(?:\([^)]*\)[^)]*)*\)|\[[^\]]*\])+)")
NAMED = re.compile(r"d\w+")  # the gradient of a value with a name
SUMS = AddMM, Linear, MatMul, elementwise.Add
LETTER = re.compile(r"(?<![A-Za-zσ])(gy|[A-Za-z])(?![A-Za-z(])")
OPERATORS = ("+", "-", "−", "/")
LONGEST = 40  # letters; a longer formula is cut short
BELOW = str.maketrans({"-": "−"})


class Backward:
    """The formulas of a reading.

    Args:
        step: the step that is drawn alone, in which names stand without their step; None: no step is.
    """

    def __init__(self, reading: Reading, names: Names, step: int | None = None):
        self.reading, self.names, self.step = reading, names, step
        self._users: dict[Output, list[tuple[Function, int]]] = {}
        for node in reading.nodes:
            for at, source in enumerate(reading.sources[node]):
                self._users.setdefault(source, []).append((node, at))
        self._ends = {reading.source_of(v): path or v.name or "" for path, v in reading.results}
        self._activations = {n: name for n in reading.nodes if (name := self._activation(n))}
        self._known: dict[Output, str] = {}
        for node in reversed(reading.nodes):  # users first: no recursion
            for k in range(len(node.out_dtype) if node.multi_output else 1):
                self._known[node, k] = self._gradient(node, k)

    def gives(self, node: Function, at: int) -> str:
        """What a node gives to its source ``at``; "" where its rule has no formula for that."""
        return self._gives(node, at).translate(BELOW)

    def equation(self, node: Function, at: int) -> str:
        """The same as "da = dh ∘ (1 − h²)", where the source has a name and all of its gradient is this."""
        text, source = self.gives(node, at), self.reading.sources[node][at]
        name = self._name(source) if len(self._users[source]) == 1 and source not in self._ends else ""
        return f"d{name} = {text}" if name and text not in ("", f"d{name}") else text

    def passed_on(self) -> list[Leaf]:
        """Parameters that get the gradient of a value with a name as it is, which biases do."""
        leaves = [item for item, _ in self._users if self.names.is_parameter(item)]
        return [leaf for leaf in leaves if all(self._passes_on(*use) for use in self._users[leaf, 0])]

    def _passes_on(self, node: Function, at: int) -> bool:
        return not isinstance(node, MOVERS) and bool(NAMED.fullmatch(self.gives(node, at)))

    def gradient(self, output: Output) -> str:
        """The gradient of an output: dc, or what its only use gives it."""
        return self._known.get(output, "").translate(BELOW)

    def _gives(self, node: Function, at: int) -> str:
        if node in self.reading.sums:
            return self._known[node, 0]
        if isinstance(node, shape.Split):
            parts = [self._known[node, k] or "0" for k in range(len(node.out_dtype))]
            return f"[{', '.join(parts)}]"
        if isinstance(node, MOVERS):
            return self._known[node, 0]
        _, i = self.reading.inputs(node)[at]
        entries = ENTRY.findall(node.rule)
        if not node.rule or i >= len(entries):
            return ""
        letters = [letter for letter, _ in entries]
        is_elementwise = isinstance(node, elementwise.Unary | elementwise.Binary | elementwise.Lerp)
        formula = _products(entries[i][1].strip()) if is_elementwise else entries[i][1].strip()
        return (
            LETTER.sub(lambda m: self._letter(m, node, letters, formula), formula)
            .replace("ᵀᵀ", "")
            .replace("\0²", "")
        )

    def _letter(self, m: re.Match[str], node: Function, letters: list[str], formula: str) -> str:
        """What a letter of a rule stands for."""
        letter, alone = m[1], m[0] == formula
        if letter == "gy":
            text = self._known[node, 0] or "dy"
        elif letter == "y":
            text = self._value((node, 0))
        elif letter in letters:
            text = self._input(node, letters.index(letter))
        else:
            return letter
        after = formula[m.end() : m.end() + 1]
        if after == "²" and (found := re.fullmatch(r"(tanh|σ|sin|cos)(\(.*\))", text)):
            return f"{found[1]}²{found[2]}\0"  # the power is there already
        is_product = not isinstance(node, elementwise.Unary | elementwise.Binary | elementwise.Lerp)
        text = f"({text})" if is_product and not alone and "∘" in _flat(text) else text
        return text if alone else _grouped(text, after in ("²", "ᵀ"))

    def _input(self, node: Function, i: int) -> str:
        edge = node.edges[i]
        if edge.__class__ in SCALARS:
            return f"{edge:g}"
        for at, (part, number) in enumerate(self.reading.inputs(node)):
            if part is node and number == i:
                return self._value(self.reading.sources[node][at])
        return "·"

    def _value(self, output: Output) -> str:
        """A value by its name, or as what makes it of values with names."""
        item, k = output
        if name := self._name(output):
            return name
        if not isinstance(item, Function):
            return "x"
        if isinstance(item, MOVERS) and self.reading.sources[item]:
            return self._name(self.reading.sources[item][0]) or "x"
        names = [self._name(source) for source in self.reading.sources[item]]
        if isinstance(item, elementwise.Unary) and names and names[0]:
            return f"{item.symbol or item.label.lower()}({names[0]})"
        if isinstance(item, elementwise.Binary) and len(names) == 2 and all(names):
            return f"({names[0]} {item.symbol.replace('×', '∘')} {names[1]})"
        return "y"

    def _name(self, output: Output) -> str:
        """The name that users, a module or a gate give to a value, with what tells another step."""
        item, k = output
        turned = ""
        while isinstance(item, shape.Transpose | shape.Contiguous) and not self.names.of(item, k):
            source, at = self.reading.sources[item][0]
            if isinstance(source, Function) and not isinstance(source, shape.Transpose | shape.Contiguous):
                break
            turned = turned.removesuffix("ᵀ") if turned else "ᵀ" * isinstance(item, shape.Transpose)
            item, k = source, at
        name = symbol(self._given(item, k) or self._preactivation(item, k))
        if isinstance(item, Function) and None not in (self.step, item.place.step) and name:
            later = (item.place.step or 0) - (self.step or 0)
            name += "ₜ₋₁" if later < 0 else "ₜ₊₁" if later > 0 else ""
        return name + turned

    def _given(self, item: Item, k: int) -> str:
        """The name that users, a module or a gate give to an output."""
        name = self.names.of(item, k) or self._ends.get((item, k), "")
        return name or (self._gate(item, k) if isinstance(item, Function) else "")

    def _gate(self, item: Function, k: int) -> str:
        """The name of gates: i, f after their nonlinearity, a_i, a_f before it, and a for all of them."""
        gates = self.names.gates_in(item, k)
        sources = [source for source, _ in self.reading.sources[item]]
        if not gates or all(self.names.is_parameter(source) for source in sources):
            return ""
        origin: Function = item
        while isinstance(origin, MOVERS) and isinstance(self.reading.sources[origin][0][0], Function):
            origin = self.reading.sources[origin][0][0]  # type: ignore[assignment]
        if isinstance(origin, elementwise.Unary):
            return gates[0] if len(gates) == 1 else f"[{' '.join(gates)}]"
        own, is_product = "a", isinstance(origin, Linear | AddMM)
        if is_product:  # of x alone, of h alone, or of both
            users = [user for user, _ in self._users.get((origin, 0), ())]
            alone = not any(isinstance(user, AddMM) for user in users) and not isinstance(origin, AddMM)
            has_x = isinstance(origin, AddMM) and isinstance(self._before(origin), Function)
            own = "u" if alone else "a" if has_x or isinstance(origin, Linear) else "v"
        every = self.names.gates_in(origin, 0)
        return own if is_product and gates == every and len(gates) > 1 else f"{own}_{''.join(gates)}"

    def _activation(self, node: Function) -> str:
        """The name of a nonlinearity of a sum or a product whose rule asks for its output alone."""
        if not isinstance(node, elementwise.Unary) or not isinstance(self._before(node), SUMS):
            return ""
        (entry,) = ENTRY.findall(node.rule)[:1] or [("", "")]
        is_by_output = entry[0] not in [m[1] for m in LETTER.finditer(entry[1])]
        return self._given(node, 0) if is_by_output and entry[0] else ""

    def _preactivation(self, item: Item, k: int) -> str:
        """a for what goes into the only nonlinearity with a name, a_y and a_h where there are two."""
        users = self._users.get((item, k), [])
        name = self._activations.get(users[0][0], "") if len(users) == 1 else ""
        is_only = len({*self._activations.values()}) == 1 and not self.names.gates
        return name and ("a" if is_only else f"a_{name}")

    def _before(self, node: Function) -> Item:
        return self.reading.sources[node][0][0]

    def _gradient(self, node: Function, k: int) -> str:
        if name := self._name((node, k)):
            return f"d{name}"
        users = self._users.get((node, k), [])
        texts = [text for text in dict.fromkeys([self._gives(*user) for user in users]) if text]
        if len(users) == 1:
            return texts[0] if texts and len(texts[0]) <= LONGEST else ""
        text = " + ".join(texts).replace(" + -", " - ")
        return text if len(texts) > 1 and len(text) <= LONGEST else ""


def _products(formula: str) -> str:
    """An elementwise formula with ∘ between its factors."""
    parts: list[str] = []
    depth, start = 0, 0
    for i, c in enumerate(formula):
        depth += (c in "([") - (c in ")]")
        if c == " " and not depth:
            parts.append(formula[start:i])
            start = i + 1
    parts.append(formula[start:])
    out = parts[0]
    for before, part in zip(parts, parts[1:], strict=False):
        plain = (
            before in OPERATORS
            or part in OPERATORS
            or before.isdigit()
            or before in ("sign", "log", "cos", "sin")
        )
        out += (" " if plain or before in ("where", "not") or part == "where" else " ∘ ") + part
    return re.sub(r"(\w[²ᵀ]?) \(", r"\1 ∘ (", out) if "∘" not in out else out


def _grouped(text: str, is_power: bool) -> str:
    """A text in parentheses where it would fall apart in a product or under a power."""
    if text.startswith("(") and not _flat(text):
        return text
    if is_power and not re.fullmatch(r"[\w₀-₉ₜ₋₁₊σ]+", text):
        return f"({text})"
    if any(sign in _flat(text) for sign in (" + ", " - ", " − ")):
        return f"({text})"
    return text


def _flat(text: str) -> str:
    """A text without what is in parentheses."""
    while (shorter := re.sub(r"\([^()]*\)", "", text)) != text:
        text = shorter
    return text

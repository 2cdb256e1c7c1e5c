// A recorded graph, run forward and back in float64: what autograd does in Python, for the page that `live` writes.
//
// An array is {shape, data: Float64Array}, elements in row-major order. Operations have the names of the classes
// in autograd/ops, comparisons those of NumPy's functions, with forward(xs, node) -> outputs and backward(gys, xs, ys, node) -> a gradient per input.
"use strict";
const engine = (() => {
  function count(shape) {
    let n = 1;
    for (let i = 0; i < shape.length; i++) n *= shape[i];
    return n;
  }
  // Zeros, or the given elements. A run asks for its arrays in the same order every time: one with a pool takes
  // those of the run before it.
  let pool = null, taken = 0;
  function array(shape, data) {
    if (data) return { shape, data };
    const n = count(shape);
    if (!pool) return { shape, data: new Float64Array(n) };
    const old = pool[taken];
    if (!old || old.data.length !== n) return (pool[taken++] = { shape, data: new Float64Array(n) });
    taken++;
    old.data.fill(0);
    old.shape = shape;
    return old;
  }
  const same = (a, b) => a.length === b.length && a.every((n, i) => n === b[i]);

  const cache = new Map();
  function once(key, make) {              // tables of positions depend on shapes alone
    if (!cache.has(key)) cache.set(key, make());
    return cache.get(key);
  }
  function strides(shape) {
    const steps = new Array(shape.length);
    for (let i = shape.length - 1, n = 1; i >= 0; n *= shape[i--]) steps[i] = n;
    return steps;
  }
  // The flat positions Σ steps[i] index[i], for every index into an array of this shape.
  function positions(shape, steps) {
    const found = new Int32Array(count(shape)), index = new Array(shape.length).fill(0);
    for (let n = 0, at = 0; n < found.length; n++) {
      found[n] = at;
      for (let i = shape.length - 1; i >= 0; i--) {
        at += steps[i];
        if (++index[i] < shape[i]) break;
        at -= steps[i] * shape[i];
        index[i] = 0;
      }
    }
    return found;
  }
  // For every element of the result the element of a broadcast operand that it comes from; null where they match.
  function spread(from, to) {
    if (same(from, to)) return null;
    return once(`spread ${from} to ${to}`, () => {
      const own = strides(from), front = to.length - from.length;
      return positions(to, to.map((_, i) => (i < front || from[i - front] === 1 ? 0 : own[i - front])));
    });
  }
  // For every element the number of the sum that it belongs to.
  function groups(shape, axes) {
    return once(`groups ${shape} over ${axes}`, () => {
      const kept = strides(shape.map((n, i) => (axes.includes(i) ? 1 : n)));
      return positions(shape, kept.map((n, i) => (axes.includes(i) ? 0 : n)));
    });
  }
  function picked(x, places, shape) {
    const y = array(shape);
    for (let n = 0; n < places.length; n++) y.data[n] = x.data[places[n]];
    return y;
  }
  function stretched(x, shape) {
    const from = spread(x.shape, shape);
    return from ? picked(x, from, shape) : x;
  }
  function summedTo(g, shape) {           // the gradient of what was broadcast
    const into = spread(shape, g.shape);
    if (!into) return g;
    const gx = array(shape);
    for (let i = 0; i < into.length; i++) gx.data[into[i]] += g.data[i];
    return gx;
  }
  function plus(a, b) {
    const y = array(a.shape), [p, q, sum] = [a.data, b.data, y.data];
    for (let i = 0; i < sum.length; i++) sum[i] = p[i] + q[i];
    return y;
  }

  // --- elementwise: [f(a, b, c), and per input its gradient(g, y, a, b, c)], or a function of the settings

  const LN2 = Math.log(2), LN10 = Math.log(10), SLOPE = 1.1283791670955126;
  const sigmoid = x => { const e = Math.exp(Math.min(x, 45)); return e / (e + 1); };
  const share = (a, b) => 1 - 0.5 * ((a < b) + (a <= b));
  const rint = x => { const r = Math.round(x); return r - x === 0.5 && r % 2 !== 0 ? r - 1 : r; };
  const mod = (a, b) => { const r = a % b; return r && (r < 0) !== (b < 0) ? r + b : r; };
  const negative = x => x < 0 || Object.is(x, -0);
  const logaddexp = (a, b) => (a === b ? a + LN2 : Math.max(a, b) + Math.log1p(Math.exp(-Math.abs(a - b))));
  const flat = f => [f, g => 0 * g];
  function floorDivide(a, b) {
    const q = (a - mod(a, b)) / b, r = Math.floor(q);
    return q - r > 0.5 ? r + 1 : r;
  }
  // The polynomials of autograd/ops/error_function.py, the highest power first.
  const P = [
    1.5841931306675047e-09, 4.055712598963224e-10, -1.6249913922382482e-08, -1.0473993692567524e-08,
    9.098315769601024e-08, 1.1293119198460761e-07, -3.9133005515012636e-07, -8.422118461796156e-07,
    1.5511710340501592e-06, 5.393869528038713e-06, -6.853822675563807e-06, -3.334743265418285e-05,
    4.3245068312598854e-05, 0.0002069536804060021, -0.000417272896876208, -0.001142391657672355,
    0.004919772305996115, 0.00013901132760321675, -0.047680041157321836, 0.1842960958451647,
    -0.42284342267620406, 0.6821337400817293, -0.7772583287886217, 0.5060161165394593];
  const Q = [
    -4.230945824295338e-12, 8.709045129053106e-11, -1.216456005728345e-09, 1.4792401209404813e-08,
    -1.6364642158167616e-07, 1.6462045441468418e-06, -1.4925647567519332e-05, 0.00012055332902888736,
    -0.000854832702193483, 0.0052239776254232985, -0.02686617064512984, 0.1128379167095512,
    -0.37612638903183754, 1.1283791670955126];
  const polynomial = (coefficients, x) => coefficients.reduce((y, c) => y * x + c);
  function erfcOfSize(x) {
    const z = Math.min(Math.abs(x), 30), u = z / (z + 3);
    return (polynomial(P, 2 * u - 1) * u + 1) * Math.exp(-z * z) / (1 + 2 * z);
  }
  const erf = x => (Math.abs(x) < 1 ? x * polynomial(Q, x * x) : Math.sign(x) * (1 - erfcOfSize(x)));
  const erfc = x => (x < 0 ? 2 - erfcOfSize(x) : erfcOfSize(x));

  const ELEMENTWISE = {
    Add: [(a, b) => a + b, g => g, g => g],
    Sub: [(a, b) => a - b, g => g, g => -g],
    Mul: [(a, b) => a * b, (g, y, a, b) => g * b, (g, y, a) => g * a],
    Div: [(a, b) => a / b, (g, y, a, b) => g / b, (g, y, a, b) => -g / b * y],
    Neg: [a => -a, g => -g],
    Power: ({ n }) => [a => a ** n, (g, y, a) => (n === 0 ? 0 * g : g * n * a ** (n - 1))],
    ArrayPower: [(a, b) => a ** b, (g, y, a, b) => (b === 0 ? 0 : g * b * a ** (b - 1)),
      (g, y, a, b) => (a === 0 && b >= 0 ? 0 : g * y * Math.log(a))],
    Abs: [Math.abs, (g, y, a) => g * Math.sign(a)],
    Sign: flat(Math.sign),
    Square: [a => a * a, (g, y, a) => 2 * g * a],
    Reciprocal: [a => 1 / a, (g, y) => -g * y * y],
    Sqrt: [Math.sqrt, (g, y) => g / (2 * y)],
    Maximum: [(a, b) => Math.max(a, b), (g, y, a, b) => g * share(a, b), (g, y, a, b) => g * share(b, a)],
    Minimum: [(a, b) => Math.min(a, b), (g, y, a, b) => g * share(b, a), (g, y, a, b) => g * share(a, b)],
    Where: [(c, a, b) => (c ? a : b), g => 0, (g, y, c) => (c ? g : 0), (g, y, c) => (c ? 0 : g)],
    Lerp: [(a, b, w) => a + w * (b - a), (g, y, a, b, w) => g - g * w, (g, y, a, b, w) => g * w,
      (g, y, a, b) => g * (b - a)],
    Clip: ({ lo, hi }) => {
      const low = lo ?? -Infinity, high = hi ?? Infinity;
      return [a => Math.min(Math.max(a, low), high), (g, y, a) => (a >= low && a <= high ? g : 0)];
    },
    Relu: [a => Math.max(a, 0), (g, y) => (y !== 0 ? g : 0)],
    Exp: [Math.exp, (g, y) => g * y],
    Expm1: [Math.expm1, (g, y) => g * (y + 1)],
    Log: [Math.log, (g, y, a) => g / a],
    Log1p: [Math.log1p, (g, y, a) => g / (1 + a)],
    Sin: [Math.sin, (g, y, a) => g * Math.cos(a)],
    Cos: [Math.cos, (g, y, a) => -g * Math.sin(a)],
    Tanh: [Math.tanh, (g, y) => g - g * y * y],
    Sigmoid: [sigmoid, (g, y) => g * y - g * y * y],
    Silu: [a => a * sigmoid(a), (g, y, a) => { const s = sigmoid(a); return g * (s + y * (1 - s)); }],
    Softplus: [a => logaddexp(a, 0), (g, y, a) => g * sigmoid(a)],
    Cast: ({ dtype }) => [dtype === "float32" ? Math.fround : a => a, g => g],
    Copy: [a => a, g => g],
    Erf: [erf, (g, y, a) => g * SLOPE * Math.exp(-a * a)],
    Erfc: [erfc, (g, y, a) => -g * SLOPE * Math.exp(-a * a)],
    Tan: [Math.tan, (g, y) => g * (1 + y * y)],
    Sinh: [Math.sinh, (g, y, a) => g * Math.cosh(a)],
    Cosh: [Math.cosh, (g, y, a) => g * Math.sinh(a)],
    Arcsin: [Math.asin, (g, y, a) => g / Math.sqrt((1 - a) * (1 + a))],
    Arccos: [Math.acos, (g, y, a) => -g / Math.sqrt((1 - a) * (1 + a))],
    Arctan: [Math.atan, (g, y, a) => g / (1 + a * a)],
    Arctan2: [(a, b) => Math.atan2(a, b), (g, y, a, b) => g * b / (a * a + b * b),
      (g, y, a, b) => -g * a / (a * a + b * b)],
    Arcsinh: [Math.asinh, (g, y, a) => g / Math.hypot(a, 1)],
    Arccosh: [Math.acosh, (g, y, a) => g / (Math.sqrt(a - 1) * Math.sqrt(a + 1))],
    Arctanh: [Math.atanh, (g, y, a) => g / ((1 - a) * (1 + a))],
    Hypot: [(a, b) => Math.hypot(a, b), (g, y, a) => g * a / (y || 1), (g, y, a, b) => g * b / (y || 1)],
    Cbrt: [Math.cbrt, (g, y) => g / (3 * y * y)],
    Log2: [Math.log2, (g, y, a) => g / (LN2 * a)],
    Log10: [Math.log10, (g, y, a) => g / (LN10 * a)],
    Exp2: [a => 2 ** a, (g, y) => g * LN2 * y],
    LogAddExp: [logaddexp, (g, y, a) => g * Math.exp(a - (y === -Infinity ? 0 : y)),
      (g, y, a, b) => g * Math.exp(b - (y === -Infinity ? 0 : y))],
    LogAddExp2: [(a, b) => logaddexp(a * LN2, b * LN2) / LN2, (g, y, a) => g * 2 ** (a - (y === -Infinity ? 0 : y)),
      (g, y, a, b) => g * 2 ** (b - (y === -Infinity ? 0 : y))],
    Mod: [mod, g => g, (g, y, a, b) => -g * rint((a - y) / b)],
    Fmod: [(a, b) => a % b, g => g, (g, y, a, b) => -g * rint((a - y) / b)],
    FloorDivide: [floorDivide, g => 0 * g, g => 0 * g],
    Copysign: [(a, b) => (negative(b) ? -Math.abs(a) : Math.abs(a)),
      (g, y, a) => g * Math.sign(a) * Math.sign(y), g => 0 * g],
    Floor: flat(Math.floor),
    Ceil: flat(Math.ceil),
    Trunc: flat(Math.trunc),
    Round: ({ decimals }) => {
      const unit = 10 ** Math.abs(decimals);
      return flat(decimals < 0 ? a => rint(a / unit) * unit : a => rint(a * unit) / unit);
    },
  };
  const choice = f => [(a, b) => (f(a, b) ? 1 : 0)];      // comparisons: they have no gradient
  const ANSWERS = {
    equal: choice((a, b) => a === b),
    not_equal: choice((a, b) => a !== b),
    less: choice((a, b) => a < b),
    less_equal: choice((a, b) => a <= b),
    greater: choice((a, b) => a > b),
    greater_equal: choice((a, b) => a >= b),
    isnan: choice(Number.isNaN),
    isinf: choice(a => Math.abs(a) === Infinity),
    isfinite: choice(Number.isFinite),
    signbit: choice(negative),
    logical_and: choice((a, b) => a && b),
    logical_or: choice((a, b) => a || b),
    logical_not: choice(a => !a),
    logical_xor: choice((a, b) => !a !== !b),
  };
  function elementwise(entry) {
    // The functions, and where the elements of broadcast operands come from, depend on the node alone.
    const plan = (node, xs) => (node.plan ??= {
      parts: typeof entry === "function" ? entry(node.at) : entry,
      from: xs.map(x => spread(x.shape, node.shapes[0])),
    });
    return {
      forward(xs, node) {
        const { parts: [f], from: [i, j, k] } = plan(node, xs), made = array(node.shapes[0]), y = made.data;
        const a = xs[0].data, b = xs[1]?.data, c = xs[2]?.data;
        if (!b) for (let n = 0; n < y.length; n++) y[n] = f(a[n]);
        else if (!c && !i && !j) for (let n = 0; n < y.length; n++) y[n] = f(a[n], b[n]);
        else for (let n = 0; n < y.length; n++) y[n] = f(a[i ? i[n] : n], b[j ? j[n] : n], c && c[k ? k[n] : n]);
        return [made];
      },
      backward([gy], xs, [{ data: y }], node) {
        const { parts, from } = plan(node, xs), [i, j, k] = from, g = gy.data;
        const a = xs[0].data, b = xs[1]?.data, c = xs[2]?.data;
        return xs.map((x, m) => {
          if (!node.wants[m]) return null;
          const slope = parts[m + 1], made = array(x.shape), gx = made.data, into = from[m];
          if (!c && !i && !j) for (let n = 0; n < g.length; n++) gx[n] = slope(g[n], y[n], a[n], b && b[n]);
          else {
            for (let n = 0; n < g.length; n++) {
              gx[into ? into[n] : n] +=
                slope(g[n], y[n], a[i ? i[n] : n], b && b[j ? j[n] : n], c && c[k ? k[n] : n]);
            }
          }
          return made;
        });
      },
    };
  }

  // --- what moves elements: every output says where in its inputs, laid end to end, an element comes from

  const move = {
    forward(xs, { shapes, at }) {
      if (!at.from) return [array(shapes[0], xs[0].data)];
      const ends = [0];
      for (const x of xs) ends.push(ends[ends.length - 1] + x.data.length);
      const all = xs.length === 1 ? xs[0].data : array([ends[xs.length]]).data;
      if (xs.length > 1) xs.forEach((x, i) => all.set(x.data, ends[i]));
      return at.from.map((from, k) => {
        const made = array(shapes[k]), y = made.data;
        for (let n = 0; n < from.length; n++) y[n] = from[n] < 0 ? at.value : all[from[n]];
        return made;
      });
    },
    backward(gys, xs, ys, { at }) {
      if (!at.from) return [array(xs[0].shape, gys[0].data)];
      const all = array([xs.reduce((n, x) => n + x.data.length, 0)]).data;
      at.from.forEach((from, k) => {
        if (!gys[k]) return;
        const g = gys[k].data;
        for (let n = 0; n < from.length; n++) if (from[n] >= 0) all[from[n]] += g[n];
      });
      let end = 0;
      return xs.map(x => array(x.shape, xs.length === 1 ? all : all.subarray(end, (end += x.data.length))));
    },
  };
  const ScatterAdd = {
    forward([x], { shapes, at }) {
      const y = array(shapes[0]), from = spread(x.shape, at.shape);
      at.to[0].forEach((to, n) => { y.data[to] += x.data[from ? from[n] : n]; });
      return [y];
    },
    backward([gy], [x], ys, { at }) {
      return [summedTo(picked(gy, at.to[0], at.shape), x.shape)];
    },
  };

  // --- reductions

  function axesOf({ at }, x) {
    return at.axes || x.shape.map((_, i) => i);
  }
  const Sum = {
    forward([x], node) {
      const y = array(node.shapes[0]), into = groups(x.shape, axesOf(node, x));
      for (let n = 0; n < into.length; n++) y.data[into[n]] += x.data[n];
      return [y];
    },
    backward([gy], [x], ys, node) {
      const into = groups(x.shape, axesOf(node, x));
      return [picked(gy, into, x.shape)];
    },
  };
  function best(x, into, size, better) {  // the largest or smallest of every group
    const y = new Float64Array(size).fill(better(-Infinity, Infinity) ? Infinity : -Infinity);
    for (let n = 0; n < into.length; n++) if (better(x[n], y[into[n]]) || Number.isNaN(x[n])) y[into[n]] = x[n];
    return y;
  }
  const extreme = better => ({
    forward([x], node) {
      const into = groups(x.shape, axesOf(node, x)), shape = node.shapes[0];
      return [array(shape, best(x.data, into, count(shape), better))];
    },
    backward([gy], [x], [y], node) {
      const into = groups(x.shape, axesOf(node, x)), ties = new Float64Array(y.data.length), gx = array(x.shape);
      into.forEach((i, n) => { ties[i] += x.data[n] === y.data[i]; });
      into.forEach((i, n) => { gx.data[n] = x.data[n] === y.data[i] ? gy.data[i] / ties[i] : 0; });
      return [gx];
    },
  });
  const larger = (a, b) => a > b;
  function shiftedSums(x, axes) {         // per group the largest x, and Σ exp(x - largest)
    const into = groups(x.shape, axes), size = into.length ? into[into.length - 1] + 1 : 0;
    const top = best(x.data, into, size, larger), sums = new Float64Array(size);
    for (let i = 0; i < size; i++) if (!Number.isFinite(top[i])) top[i] = 0;
    for (let n = 0; n < into.length; n++) sums[into[n]] += Math.exp(x.data[n] - top[into[n]]);
    return [into, top, sums];
  }
  const LogSumExp = {
    forward([x], node) {
      const [, top, sums] = shiftedSums(x, axesOf(node, x));
      return [array(node.shapes[0], sums.map((s, i) => Math.log(s) + top[i]))];
    },
    backward([gy], [x], [y], node) {
      const into = groups(x.shape, axesOf(node, x));
      return [array(x.shape, Float64Array.from(into, (i, n) =>
        gy.data[i] * Math.exp(x.data[n] - (y.data[i] === -Infinity ? 0 : y.data[i]))))];
    },
  };
  const Softmax = {
    forward([x], node) {
      const [into, top, sums] = shiftedSums(x, node.at.axes);
      return [array(x.shape, x.data.map((v, n) => Math.exp(v - top[into[n]]) / sums[into[n]]))];
    },
    backward([gy], [x], [y], node) {
      const into = groups(x.shape, node.at.axes), sums = new Float64Array(into.length);
      into.forEach((i, n) => { sums[i] += gy.data[n] * y.data[n]; });
      return [array(x.shape, y.data.map((v, n) => gy.data[n] * v - v * sums[into[n]]))];
    },
  };
  const LogSoftmax = {
    forward([x], node) {
      const [into, top, sums] = shiftedSums(x, node.at.axes);
      return [array(x.shape, x.data.map((v, n) => v - top[into[n]] - Math.log(sums[into[n]])))];
    },
    backward([gy], [x], [y], node) {
      const into = groups(x.shape, node.at.axes), sums = new Float64Array(into.length);
      into.forEach((i, n) => { sums[i] += gy.data[n]; });
      return [array(x.shape, gy.data.map((g, n) => g - Math.exp(y.data[n]) * sums[into[n]]))];
    },
  };
  // Runs down or up the given axis: calls visit(position, position before it or -1).
  function along(shape, axis, up, visit) {
    const inner = count(shape.slice(axis + 1)), length = shape[axis], outer = count(shape.slice(0, axis));
    for (let o = 0; o < outer; o++) {
      for (let i = 0; i < inner; i++) {
        for (let s = 0, last = -1; s < length; s++) {
          const at = (o * length + (up ? length - 1 - s : s)) * inner + i;
          visit(at, last, o * inner + i);
          last = at;
        }
      }
    }
  }
  function running(x, axis, up) {
    const y = array(x.shape);
    along(x.shape, axis, up, (n, before) => { y.data[n] = x.data[n] + (before < 0 ? 0 : y.data[before]); });
    return y;
  }
  const Cumsum = {
    forward: ([x], { at }) => [running(x, at.axes[0], false)],
    backward: ([gy], xs, ys, { at }) => [running(gy, at.axes[0], true)],
  };
  const LinearScan = {                    // h_t = a_t h_{t-1} + b_t
    forward([a, b, h0], { shapes, at }) {
      const h = array(shapes[0]), start = shapes[0].filter((_, i) => i !== at.axis);
      [a, b, h0] = [stretched(a, h.shape), stretched(b, h.shape), stretched(h0, start)];
      along(h.shape, at.axis, at.reverse, (n, before, row) => {
        h.data[n] = a.data[n] * (before < 0 ? h0.data[row] : h.data[before]) + b.data[n];
      });
      return [h];
    },
    backward([gy], [a, b, h0], [h], { at }) {
      const full = stretched(a, h.shape), state = array(h.shape), ga = array(h.shape);
      const first = stretched(h0, h.shape.filter((_, i) => i !== at.axis)), gh0 = array(first.shape);
      along(h.shape, at.axis, !at.reverse, (n, after) => {
        state.data[n] = gy.data[n] + (after < 0 ? 0 : full.data[after] * state.data[after]);
      });
      along(h.shape, at.axis, at.reverse, (n, before, row) => {
        ga.data[n] = state.data[n] * (before < 0 ? first.data[row] : h.data[before]);
        if (before < 0) gh0.data[row] = full.data[n] * state.data[n];
      });
      return [summedTo(ga, a.shape), summedTo(state, b.shape), summedTo(gh0, h0.shape)];
    },
  };

  // --- products

  // y (m, n) += a (m, k) b (k, n), all inside larger arrays: first element, step between rows, between columns.
  function product(m, k, n, a, a0, ar, ac, b, b0, br, bc, y, y0) {
    for (let i = 0; i < m; i++) {
      const from = a0 + i * ar, to = y0 + i * n;
      if (bc === 1) {                     // along the rows of b, as they lie
        for (let q = 0; q < k; q++) {
          const factor = a[from + q * ac], row = b0 + q * br;
          for (let j = 0; j < n; j++) y[to + j] += factor * b[row + j];
        }
      } else {
        for (let j = 0; j < n; j++) {
          let sum = 0;
          for (let q = 0; q < k; q++) sum += a[from + q * ac] * b[b0 + q * br + j * bc];
          y[to + j] += sum;
        }
      }
    }
  }
  function copied(x, shape) {             // an operand as an array of its own
    const y = array(shape), from = spread(x.shape, shape);
    if (!from) y.data.set(x.data);
    else for (let n = 0; n < from.length; n++) y.data[n] = x.data[from[n]];
    return y;
  }
  const rowsOf = x => x.data.length / (x.shape[x.shape.length - 1] || 1);
  function timesMatrix(x, w, y) {         // x (..., I) w (I, O) into y (..., O)
    const [I, O] = w.shape;
    product(rowsOf(x), I, O, x.data, 0, I, 1, w.data, 0, O, 1, y.data, 0);
    return y;
  }
  function gradientsOfProduct(gy, x, w, wants) {
    const [I, O] = w.shape, m = rowsOf(x), gx = wants[0] ? array(x.shape) : null;
    if (gx) product(m, O, I, gy.data, 0, O, 1, w.data, 0, 1, O, gx.data, 0);
    const gw = wants[1] ? array(w.shape) : null;
    if (gw) product(I, m, O, x.data, 0, 1, I, gy.data, 0, O, 1, gw.data, 0);
    return [gx, gw];
  }
  const AddMM = {
    forward: ([c, x, w], { shapes }) => [timesMatrix(x, w, copied(c, shapes[0]))],
    backward([gy], [c, x, w], ys, { wants }) {
      return [wants[0] ? summedTo(gy, c.shape) : null, ...gradientsOfProduct(gy, x, w, wants.slice(1))];
    },
  };
  const Linear = {
    forward([x, w, b], { shapes }) {
      const y = b ? copied(b, shapes[0]) : array(shapes[0]), [O, I] = w.shape;
      product(rowsOf(x), I, O, x.data, 0, I, 1, w.data, 0, 1, I, y.data, 0);
      return [y];
    },
    backward([gy], [x, w, b], ys, { wants }) {
      const [O, I] = w.shape, m = rowsOf(x), gx = array(x.shape), gw = array(w.shape);
      if (wants[0]) product(m, O, I, gy.data, 0, O, 1, w.data, 0, I, 1, gx.data, 0);
      if (wants[1]) product(O, m, I, gy.data, 0, 1, O, x.data, 0, I, 1, gw.data, 0);
      return [gx, gw, b && summedTo(gy, b.shape)].slice(0, b ? 3 : 2);
    },
  };
  // For every matrix of a batch the first elements in a, b and y; leading axes are broadcast.
  function batches(a, b, y) {
    const lead = y.slice(0, -2);
    const starts = shape => {
      const step = shape[shape.length - 2] * shape[shape.length - 1], own = shape.slice(0, -2);
      const from = spread(own, lead);
      return Array.from({ length: count(lead) }, (_, i) => (from ? from[i] : i) * step);
    };
    return once(`batches ${a} of ${b}`, () => [starts(a), starts(b), starts(y)]);
  }
  const MatMul = {
    forward([a, b], { shapes }) {
      const y = array(shapes[0]), [m, k] = a.shape.slice(-2), n = b.shape[b.shape.length - 1];
      const [as, bs, ys] = batches(a.shape, b.shape, y.shape);
      ys.forEach((y0, i) => product(m, k, n, a.data, as[i], k, 1, b.data, bs[i], n, 1, y.data, y0));
      return [y];
    },
    backward([gy], [a, b], [y]) {
      const ga = array(a.shape), gb = array(b.shape), [m, k] = a.shape.slice(-2), n = b.shape[b.shape.length - 1];
      const [as, bs, ys] = batches(a.shape, b.shape, y.shape);
      ys.forEach((y0, i) => {
        product(m, n, k, gy.data, y0, n, 1, b.data, bs[i], 1, n, ga.data, as[i]);
        product(k, m, n, a.data, as[i], 1, k, gy.data, y0, n, 1, gb.data, bs[i]);
      });
      return [ga, gb];
    },
  };
  const Einsum = {
    // Positions in every operand, and last in the result, of each term of the sum.
    terms(xs, { shapes, at }) {
      const all = [...xs.map(x => x.shape), shapes[0]], labels = [...at.operands, at.output];
      return once(`einsum ${labels} of ${all.join(";")}`, () => {
        const names = [...new Set(labels.join(""))];
        const size = names.map(c => Math.max(...labels.map((l, i) => (l.includes(c) ? all[i][l.indexOf(c)] : 1))));
        const empty = names.some(c => labels.some((l, i) => l.includes(c) && all[i][l.indexOf(c)] === 0));
        return labels.map((l, i) => {
          const own = strides(all[i]);
          const steps = names.map(c => (l.includes(c) && all[i][l.indexOf(c)] > 1 ? own[l.indexOf(c)] : 0));
          return empty ? new Int32Array(0) : positions(size, steps);
        });
      });
    },
    forward(xs, node) {
      const terms = Einsum.terms(xs, node), y = array(node.shapes[0]), into = terms[xs.length];
      for (let n = 0; n < into.length; n++) {
        let term = 1;
        for (let i = 0; i < xs.length; i++) term *= xs[i].data[terms[i][n]];
        y.data[into[n]] += term;
      }
      return [y];
    },
    backward([gy], xs, ys, node) {
      const terms = Einsum.terms(xs, node), from = terms[xs.length];
      return xs.map((x, i) => {
        const gx = array(x.shape);
        for (let n = 0; n < from.length; n++) {
          let term = gy.data[from[n]];
          for (let j = 0; j < xs.length; j++) if (j !== i) term *= xs[j].data[terms[j][n]];
          gx.data[terms[i][n]] += term;
        }
        return gx;
      });
    },
  };

  // --- convolutions: the trilinear form Σ x[b, c, s p + d k - before] w[o, c, k] z[b, o, p]

  function windows({ size, out, kernel, stride, dilation, before }) {   // per place and tap the element of x, or -1
    return once(`windows ${[size, out, kernel, stride, dilation, before].join(";")}`, () => {
      const places = count(out), taps = count(kernel), found = new Int32Array(places * taps).fill(0);
      const own = strides(size), outer = strides(out), inner = strides(kernel);
      for (let p = 0; p < places; p++) {
        for (let k = 0; k < taps; k++) {
          let at = 0;
          for (let i = 0; i < size.length && at >= 0; i++) {
            const place = Math.floor(p / outer[i]) % out[i], tap = Math.floor(k / inner[i]) % kernel[i];
            const n = stride[i] * place + dilation[i] * tap - before[i];
            at = n < 0 || n >= size[i] ? -1 : at + n * own[i];
          }
          found[p * taps + k] = at;
        }
      }
      return found;
    });
  }
  function trilinear(geometry, B, C, O, visit) {          // C and O: the channels of x and of z
    const look = windows(geometry), S = count(geometry.size), P = count(geometry.out), K = count(geometry.kernel);
    const own = C / geometry.groups, each = O / geometry.groups;
    for (let b = 0; b < B; b++) {
      for (let o = 0; o < O; o++) {
        const first = Math.floor(o / each) * own;
        for (let c = 0; c < own; c++) {
          const x0 = (b * C + first + c) * S, w0 = (o * own + c) * K, z0 = (b * O + o) * P;
          for (let p = 0; p < P; p++) {
            for (let k = 0; k < K; k++) {
              const at = look[p * K + k];
              if (at >= 0) visit(x0 + at, w0 + k, z0 + p);
            }
          }
        }
      }
    }
  }
  // One partial derivative of the form: by x, w or z, from the other two.
  function partial(by, geometry, shape, x, w, z) {
    const y = array(shape), B = (x || z).shape[0], O = (w || z).shape[0 + (w ? 0 : 1)];
    const C = x ? x.shape[1] : by === "x" ? shape[1] : 0;
    if (by === "x") trilinear(geometry, B, C, O, (i, j, k) => { y.data[i] += w.data[j] * z.data[k]; });
    if (by === "w") trilinear(geometry, B, C, O, (i, j, k) => { y.data[j] += x.data[i] * z.data[k]; });
    if (by === "z") trilinear(geometry, B, C, O, (i, j, k) => { y.data[k] += x.data[i] * w.data[j]; });
    return y;
  }
  const Conv = {
    forward([x, w, c], { shapes, at }) {
      const y = partial("z", at, shapes[0], x, w, null);
      return [c ? plus(y, stretched(c, y.shape)) : y];
    },
    backward([gy], [x, w, c], ys, { at, wants }) {
      const gx = wants[0] ? partial("x", at, x.shape, null, w, gy) : null;
      const gw = wants[1] ? partial("w", at, w.shape, x, null, gy) : null;
      return c ? [gx, gw, summedTo(gy, c.shape)] : [gx, gw];
    },
  };
  const ConvTranspose = {
    forward: ([z, w], { shapes, at }) => [partial("x", at, shapes[0], null, w, z)],
    backward: ([gy], [z, w], ys, { at }) => [
      partial("z", at, z.shape, gy, w, null), partial("w", at, w.shape, gy, null, z)],
  };
  const ConvWeight = {
    forward: ([x, z], { shapes, at }) => [partial("w", at, shapes[0], x, null, z)],
    backward: ([gy], [x, z], ys, { at }) => [
      partial("x", at, x.shape, null, gy, z), partial("z", at, z.shape, x, gy, null)],
  };
  const Convolve = {                      // y[m + n] += a[m] v[n]
    each([a, v], shape, visit) {
      const [i, j] = [a, v].map(x => positions(x.shape, strides(shape)));
      for (let m = 0; m < i.length; m++) for (let n = 0; n < j.length; n++) visit(m, n, i[m] + j[n]);
    },
    forward([a, v], { shapes }) {
      const y = array(shapes[0]);
      Convolve.each([a, v], y.shape, (m, n, k) => { y.data[k] += a.data[m] * v.data[n]; });
      return [y];
    },
    backward([gy], [a, v]) {
      const ga = array(a.shape), gv = array(v.shape);
      Convolve.each([a, v], gy.shape, (m, n, k) => {
        ga.data[m] += gy.data[k] * v.data[n];
        gv.data[n] += gy.data[k] * a.data[m];
      });
      return [ga, gv];
    },
  };

  const OPS = {
    Sum, Max: extreme(larger), Min: extreme((a, b) => a < b), LogSumExp, Softmax, LogSoftmax, Cumsum, LinearScan,
    ScatterAdd, AddMM, Linear, MatMul, Einsum, Conv, ConvTranspose, ConvWeight, Convolve,
  };
  for (const [name, entry] of Object.entries({ ...ELEMENTWISE, ...ANSWERS })) OPS[name] = elementwise(entry);
  for (const name of ["Reshape", "Transpose", "Contiguous", "BroadcastTo", "Concatenate", "Split", "Stack",
    "Unstack", "Flip", "Pad", "Index"]) OPS[name] = move;

  // --- graphs, from the table that Python writes

  function bytes(text) {
    return Uint8Array.from(atob(text), c => c.charCodeAt(0)).buffer;
  }
  // A table with arrays for texts, and for every node what a run asks for.
  function read(table) {
    const numbers = table.numbers.map(text => new Float64Array(bytes(text)));
    const places = table.places.map(text => new Int32Array(bytes(text)));
    const settings = table.settings.map(at => {
      const found = { ...at };
      for (const key of ["from", "to"]) if (at[key]) found[key] = at[key].map(i => places[i]);
      return found;
    });
    const shapes = table.shapes;
    const leaves = table.leaves.map(l => ({ ...l, ...array(shapes[l.shape], numbers[l.data]) }));
    const nodes = table.nodes.map(([op, inputs, out, at, step]) => ({
      op: table.ops[op], at: settings[at], step, shapes: out.map(i => shapes[i]),
      inputs: inputs.map(i => (typeof i === "number" ? { leaf: i } : { node: i[0], k: i[1], cut: i[2] === 1 })),
    }));
    for (const node of nodes) {           // constants and cut values get no gradient
      node.wants = node.inputs.map(i => (i.leaf === undefined ? !i.cut : leaves[i.leaf].kind !== "constant"));
    }
    for (const node of nodes) node.moved = movedLeaf(node, nodes);
    for (const [n, i, tail, head] of table.links) nodes[n].inputs[i].link = [tail, head];
    const lift = ids => ids.map(i => numbers[i]);
    return { ...table, nodes, leaves, expected: { ...table.expected, gradients: lift(table.expected.gradients),
      flows: table.expected.flows.map(lift) } };
  }

  // The leaf that a node only brings into another layout, outside of all steps: {leaf, isOneToOne}, else null.
  function movedLeaf({ op, inputs, step, at, shapes }, nodes) {
    if (OPS[op] !== move || inputs.length !== 1 || step !== null || inputs[0].cut) return null;
    const [{ leaf, node }] = inputs, before = leaf === undefined ? nodes[node].moved : { leaf, isOneToOne: true };
    if (!before || !at.from) return before;
    const all = at.from.reduce((n, from) => n + from.length, 0), places = new Set(at.from.flatMap(from => [...from]));
    return { leaf: before.leaf, isOneToOne: before.isOneToOne && places.size === all && !places.has(-1) };
  }

  // Forward, then back from the last node, an array of one element, or from seeds [node, output, elements]. Through
  // links between two windows of `window` steps no gradient flows. Returns the outputs and their gradients by node,
  // what each node gives to its inputs, the gradients of the leaves, and where those came from: per leaf one entry for
  // every use. Of a run with a pool, a list that is empty at first, the arrays are those of its last run.
  function run(graph, leaves, window = Infinity, arrays = null, seeds = null) {
    [pool, taken] = [arrays, 0];
    try {
      return both(graph, leaves, window, seeds);
    } finally {
      pool = null;
    }
  }
  function both({ nodes }, leaves, window, seeds) {
    const values = [], gradients = nodes.map(() => []), given = [], uses = leaves.map(() => []);
    const input = i => (i.leaf === undefined ? values[i.node][i.k] : leaves[i.leaf]);
    for (const node of nodes) values.push(OPS[node.op].forward(node.inputs.map(input), node));
    const last = nodes.length - 1, ofLeaves = leaves.map(() => null), sums = new Set();
    const add = (list, i, gx) => {        // a first contribution is kept as it is, sums are arrays of their own
      if (!list[i]) list[i] = gx;
      else if (!sums.has(list[i])) sums.add((list[i] = plus(list[i], gx)));
      else addTo(list[i].data, gx.data);
    };
    for (const [n, k, elements] of seeds || [[last, 0, [1]]]) {
      const seed = array(values[n][k].shape);
      seed.data.set(elements);
      add(gradients[n], k, seed);
    }
    for (let n = last; n >= 0; n--) {
      const node = nodes[n], gys = gradients[n];
      if (!gys.length) continue;
      const whole = values[n].map((y, k) => gys[k] || array(y.shape));
      const gxs = (given[n] = OPS[node.op].backward(whole, node.inputs.map(input), values[n], node));
      node.inputs.forEach((i, m) => {
        const gx = gxs[m];
        if (!node.wants[m] || !gx) return;
        if (i.link && Math.floor(i.link[0] / window) !== Math.floor(i.link[1] / window)) return;
        if (i.leaf !== undefined) add(ofLeaves, i.leaf, gx);
        else add(gradients[i.node], i.k, gx);
        const leaf = i.leaf ?? nodes[i.node].moved?.leaf;
        if (leaf !== undefined && !node.moved) uses[leaf].push({ input: i, step: node.step, node: n, gx });
      });
    }
    return { values, gradients, given, ofLeaves, uses, loss: values[last][0].data[0] };
  }
  function addTo(sum, x) {
    for (let n = 0; n < sum.length; n++) sum[n] += x[n];
  }

  // What arrives at an input of a use, in the layout of the leaf.
  function carried({ nodes, leaves }, leaf, input, g) {
    for (let at = input; at.node !== undefined; at = nodes[at.node].inputs[0]) {
      const { op, shapes, inputs: [source] } = nodes[at.node], gys = shapes.map((s, k) => (k === at.k ? g : null));
      const shape = source.leaf === undefined ? nodes[source.node].shapes[source.k] : leaves[leaf].shape;
      [g] = OPS[op].backward(gys, [array(shape)], [], nodes[at.node]);
    }
    return g;
  }

  // The norm of the gradient of a leaf by the step of its uses, as pairs [step or null, norm]. What arrives where the
  // leaf was brought into another layout is carried back to it, unless every element went to one place.
  function bySteps(graph, { uses }, leaf) {
    const { nodes } = graph;
    const steps = new Map();              // step -> what its uses read -> {input, g}
    for (const { input, step, gx } of uses[leaf]) {
      if (!steps.has(step)) steps.set(step, new Map());
      const read = steps.get(step), key = input.node === undefined ? "" : `${input.node}:${input.k}`, known = read.get(key);
      read.set(key, { input, g: known ? plus(known.g, gx) : gx });
    }
    const size = read => {
      const [{ input, g }] = read;
      const isPlain = read.length === 1 && (input.node === undefined || nodes[input.node].moved.isOneToOne);
      return norm(isPlain ? g : read.map(one => carried(graph, leaf, one.input, one.g)).reduce(plus));
    };
    return [...steps].map(([step, read]) => [step, size([...read.values()])]).sort((a, b) => (a[0] ?? -1) - (b[0] ?? -1));
  }

  function norm(x) {
    if (!x) return 0;
    let sum = 0;
    for (let i = 0; i < x.data.length; i++) sum += x.data[i] * x.data[i];
    return Math.sqrt(sum);
  }

  // The largest difference from the engine's numbers, each relative to the largest of its array if that is above 1.
  function check(graph) {
    const result = run(graph, graph.leaves), { expected } = graph;
    let most = 0;
    const compare = (found, wanted) => {
      const scale = wanted.reduce((m, v) => Math.max(m, Math.abs(v)), 1);
      wanted.forEach((v, i) => {
        const d = Object.is(v, found[i]) ? 0 : Math.abs(v - found[i]) / scale;
        if (!(d <= most)) most = Number.isNaN(d) ? Infinity : d;
      });
    };
    compare([result.loss], [expected.loss]);
    graph.leaves.filter(l => l.kind === "weight").forEach((l, i) => {
      const g = result.ofLeaves[graph.leaves.indexOf(l)];
      compare(g ? g.data : new Float64Array(l.data.length), expected.gradients[i]);
    });
    graph.states.forEach(({ items }, s) => items.forEach(({ node, k }, i) => {
      compare((result.gradients[node][k] || array(result.values[node][k].shape)).data, expected.flows[s][i]);
    }));
    return most;
  }

  return { OPS, array, read, run, carried, bySteps, norm, check };
})();

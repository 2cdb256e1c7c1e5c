# mypy: allow-untyped-defs
"""The backward pass of one step as courses derive it: a page per cell, an equation per line, only NumPy.

    g = formulas.rnn(x, a_prev, Wax, Waa, ba, da_next)        # all values of the page, by name:
    g["dWaa"], g["da_prev"]
    print(derivations.check(derivations.RNN, formulas.rnn))   # every equation against the engine
    print(inspect.getsource(formulas.rnn))                    # a slide

A page takes the inputs of a step and the gradients that arrive at its new states; it computes the step, then
the gradients. Arrays are in the columns of the course (Ng, Sequence Models, week 1): x (n_x, m) and states
(n_a, m) for a batch of m, biases (n_a, 1). dW is the gradient of the loss by W. Back through time, da_next at
step t is the gradient of the step's own loss plus da_prev of step t + 1, and the gradients of parameters are
sums over all steps. No layer of the library uses these pages: reverse mode over the graph gives the same
numbers for any cell.

Equations have the numbers of the notes to that course. Copies of the notes have slips:

- a = Γo ∘ c is another cell than a = Γo ∘ tanh(c). Its equations 7 to 10 and 20 have c_next for tanh(c_next)
  and 1 for 1 - tanh²(c_next).
- Equation 8, called dc̃ in some, has the factor 1 - c̃²: it is the gradient in front of the tanh, here dp_c.
- The gates of an LSTM see a_prev, not c_prev. A Γr inside c̃ is the GRU's.
- Some swap the names of Γu and Γf: c = Γu ∘ c̃ + Γf ∘ c_prev tells them apart.
- db sums over the batch and keeps that axis.
"""

import numpy as np

tanh = np.tanh


def sigmoid(z):
    """σ(z) = 1 / (1 + e⁻ᶻ)

    >>> bptt.formulas.sigmoid(np.array([0.0, np.log(3.0)]))
    array([0.5 , 0.75])
    """
    return 1 / (1 + np.exp(-z))


def rnn(x, a_prev, Wax, Waa, ba, da_next):
    """The RNN cell; the notes do not number its equations.

    dtanh is the gradient in front of the tanh.

    >>> one, zero = np.ones((1, 1)), np.zeros((1, 1))
    >>> g = bptt.formulas.rnn(x=3 * one, a_prev=zero, Wax=zero, Waa=2 * one, ba=zero, da_next=one)
    >>> g["dtanh"], g["dWax"], g["da_prev"]  # tanh has slope 1 at 0, so these are 1, x and Waa
    (array([[1.]]), array([[3.]]), array([[2.]]))
    """
    a_next = tanh(Wax @ x + Waa @ a_prev + ba)

    dtanh = da_next * (1 - a_next**2)
    dWax = dtanh @ x.T
    dWaa = dtanh @ a_prev.T
    dba = np.sum(dtanh, axis=-1, keepdims=True)
    dx = Wax.T @ dtanh
    da_prev = Waa.T @ dtanh
    return locals()


def lstm(x, a_prev, c_prev, Wf, bf, Wi, bi, Wc, bc, Wo, bo, da_next, dc_next):
    """The LSTM cell, equations 7 to 21; dγ and dp_c are gradients in front of σ and tanh.

    Γf, Γu, Γo and c̃ are f, i, o and cct. Weights multiply [a_prev; x]: their first n_a columns belong to
    a_prev, the rest to x.

    >>> one, W, b = np.ones((1, 1)), np.zeros((1, 2)), np.zeros((1, 1))
    >>> g = bptt.formulas.lstm(one, one, one, W, b, W, b, W, b, W, b, da_next=0 * one, dc_next=one)
    >>> g["f"], g["dc_prev"], g["dgamma_f"]  # along c: the gate itself, and its slope f (1 - f)
    (array([[0.5]]), array([[0.5]]), array([[0.25]]))
    """
    n_a = len(a_prev)
    concat = np.concatenate([a_prev, x])
    f = sigmoid(Wf @ concat + bf)
    i = sigmoid(Wi @ concat + bi)
    cct = tanh(Wc @ concat + bc)
    c_next = f * c_prev + i * cct
    o = sigmoid(Wo @ concat + bo)
    a_next = o * tanh(c_next)

    # gates
    dgamma_o = da_next * tanh(c_next) * o * (1 - o)  # (7)
    dp_c = (dc_next * i + o * (1 - tanh(c_next) ** 2) * i * da_next) * (1 - cct**2)  # (8)
    dgamma_u = (dc_next * cct + o * (1 - tanh(c_next) ** 2) * cct * da_next) * i * (1 - i)  # (9)
    dgamma_f = (dc_next * c_prev + o * (1 - tanh(c_next) ** 2) * c_prev * da_next) * f * (1 - f)  # (10)

    # parameters
    dWf = dgamma_f @ concat.T  # (11)
    dWi = dgamma_u @ concat.T  # (12)
    dWc = dp_c @ concat.T  # (13)
    dWo = dgamma_o @ concat.T  # (14)
    dbf = np.sum(dgamma_f, axis=1, keepdims=True)  # (15)
    dbi = np.sum(dgamma_u, axis=1, keepdims=True)  # (16)
    dbc = np.sum(dp_c, axis=1, keepdims=True)  # (17)
    dbo = np.sum(dgamma_o, axis=1, keepdims=True)  # (18)

    # state and input
    da_prev = (  # (19)
        Wf[:, :n_a].T @ dgamma_f + Wi[:, :n_a].T @ dgamma_u + Wc[:, :n_a].T @ dp_c + Wo[:, :n_a].T @ dgamma_o
    )
    dc_prev = dc_next * f + o * (1 - tanh(c_next) ** 2) * f * da_next  # (20)
    dx = (  # (21)
        Wf[:, n_a:].T @ dgamma_f + Wi[:, n_a:].T @ dgamma_u + Wc[:, n_a:].T @ dp_c + Wo[:, n_a:].T @ dgamma_o
    )
    return locals()


def gru(x, a_prev, Wr, Ur, br, Wz, Uz, bz, Wn, Un, bn, da_next):
    """The GRU cell, with z = 1 for keeping the state; the notes stop at its forward equations.

    With Γu = 1 - z this is their full GRU. dzr, dzz and dzn are the gradients in front of σ and tanh.

    >>> one, zero = np.ones((1, 1)), np.zeros((1, 1))
    >>> g = bptt.formulas.gru(one, one, *[zero] * 9, da_next=one)
    >>> g["z"], g["a_next"], g["da_prev"]  # half of the old state, half of a new one that is 0
    (array([[0.5]]), array([[0.5]]), array([[0.5]]))
    """
    r = sigmoid(Wr @ x + Ur @ a_prev + br)
    z = sigmoid(Wz @ x + Uz @ a_prev + bz)
    n = tanh(Wn @ x + Un @ (r * a_prev) + bn)
    a_next = z * a_prev + (1 - z) * n

    # gates
    dzz = da_next * (a_prev - n) * z * (1 - z)
    dzn = da_next * (1 - z) * (1 - n**2)
    dzr = (Un.T @ dzn) * a_prev * r * (1 - r)

    # parameters
    dWr = dzr @ x.T
    dWz = dzz @ x.T
    dWn = dzn @ x.T
    dUr = dzr @ a_prev.T
    dUz = dzz @ a_prev.T
    dUn = dzn @ (r * a_prev).T
    dbr = np.sum(dzr, axis=1, keepdims=True)
    dbz = np.sum(dzz, axis=1, keepdims=True)
    dbn = np.sum(dzn, axis=1, keepdims=True)

    # state and input
    da_prev = da_next * z + Ur.T @ dzr + Uz.T @ dzz + r * (Un.T @ dzn)
    dx = Wr.T @ dzr + Wz.T @ dzz + Wn.T @ dzn
    return locals()

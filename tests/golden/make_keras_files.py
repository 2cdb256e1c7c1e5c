"""Write the files of Keras 3 that `tests/nn/test_keras_files.py` reads, and what Keras computes with them.

Needs Keras 3 and PyTorch, which the tests do not: ``python -m tests.golden.make_keras_files``.
"""

import os
from pathlib import Path

os.environ["KERAS_BACKEND"] = "torch"

import keras
import numpy as np
from keras import layers

HERE = Path(__file__).parent


def chain():
    """Every kind of layer, from tokens to probabilities."""
    return keras.Sequential([
        keras.Input((None,), dtype="int32"),
        layers.Embedding(9, 4, name="tokens"),
        layers.Bidirectional(layers.LSTM(3, return_sequences=True)),
        layers.Dropout(0.5),
        layers.GRU(5, return_sequences=True),
        layers.LSTM(3, return_sequences=True, go_backwards=True),
        layers.SimpleRNN(4),
        layers.Dense(3, activation="softmax"),
    ])  # fmt: skip


def others():
    """A functional model with other settings: one bias in a GRU, none in a Dense, means."""
    x = keras.Input((5, 2), name="x")
    y = layers.LSTM(3, activation="relu", return_sequences=True)(x)
    y = layers.GRU(3, reset_after=False, return_sequences=True, go_backwards=True)(y)
    y = layers.Bidirectional(layers.GRU(4, recurrent_dropout=0.1), merge_mode="ave")(y)
    y = layers.Dense(4, use_bias=False, activation="gelu")(y)
    model = keras.Model(x, layers.Dense(2)(layers.Activation("swish")(y)))
    model.compile("sgd", "mse")
    return model


def recurrent():
    """Layers of one kind, for a file of weights alone."""
    x = keras.Input((4, 3))
    y = layers.LSTM(2, activation="relu", recurrent_activation="tanh", use_bias=False, return_sequences=True)(
        x
    )
    return keras.Model(x, layers.LSTM(3, return_sequences=True)(y))


def main():
    keras.utils.set_random_seed(4)
    rng = np.random.default_rng(0)
    numbers = {}
    for make, x in (
        (chain, rng.integers(0, 9, (2, 6))),
        (others, rng.normal(size=(3, 5, 2)).astype("f")),
        (recurrent, rng.normal(size=(2, 4, 3)).astype("f")),
    ):
        model = make()
        model(x)
        for w in model.weights:  # biases of zero would tell nothing
            w.assign(rng.normal(size=w.shape).astype("f") * 0.7)
        name = make.__name__
        if make is others:
            model.fit(x, rng.normal(size=(3, 2)), verbose=0)  # an optimizer's memory is saved as well
        model.save_weights(HERE / "keras_recurrent.weights.h5") if make is recurrent else model.save(
            HERE / f"keras_{name}.keras"
        )
        numbers |= {f"{name}_x": x, f"{name}_y": model.predict(x, verbose=0)}
    np.savez(HERE / "keras_numbers.npz", **numbers)


if __name__ == "__main__":
    main()

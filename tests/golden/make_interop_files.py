"""Write the files of PyTorch's that the tests of files read, and what PyTorch computes with them.

Needs PyTorch, safetensors, onnx and onnxscript: ``python -m tests.golden.make_interop_files``.
"""

from pathlib import Path

import numpy as np
import onnx
import torch
from safetensors.torch import save_file

HERE = Path(__file__).parent


def main():
    torch.manual_seed(0)
    lstm = torch.nn.LSTM(3, 4, num_layers=2, bidirectional=True)
    tensors = dict(lstm.state_dict())
    tensors["half"] = torch.tensor([1.5, -2.0, 3.140625], dtype=torch.bfloat16)
    tensors["count"] = torch.tensor(7)
    save_file(tensors, HERE / "torch_lstm.safetensors", {"format": "pt"})
    x = torch.randn(5, 2, 3)
    np.savez(HERE / "torch_lstm_file.npz", x=x.numpy(), y=lstm(x)[0].detach().numpy())

    numbers = {}
    tokens = torch.randint(0, 11, (3, 7))
    free = {0: torch.export.Dim("B"), 1: torch.export.Dim("T")}
    for name, kind, options, dynamo in (
        ("lstm", torch.nn.LSTM, {}, False),
        ("lstm_new", torch.nn.LSTM, {}, True),
        ("gru", torch.nn.GRU, {"bidirectional": True}, False),
        ("rnn", torch.nn.RNN, {"nonlinearity": "relu"}, False),
    ):
        model = LanguageModel(kind, **options).eval()
        axes: dict = (
            {"dynamic_shapes": {"x": free}, "external_data": False}
            if dynamo
            else {"dynamic_axes": {"x": {0: "B", 1: "T"}}}
        )
        names: dict = {"input_names": ["x"], "output_names": ["y"]}
        path = HERE / f"torch_{name}_lm.onnx"
        torch.onnx.export(model, (tokens[:2, :5],), path, dynamo=dynamo, **names, **axes)
        if dynamo:  # it writes down where in the source every node comes from
            stripped(path)
        numbers[name] = model(tokens).detach().numpy()
    np.savez(HERE / "torch_lm_numbers.npz", x=tokens.numpy(), **numbers)


class LanguageModel(torch.nn.Module):
    """Tokens (B, T) to the logarithms of probabilities (B, T, 11)."""

    def __init__(self, kind, bidirectional=False, **options):
        super().__init__()
        self.embedding = torch.nn.Embedding(11, 4)
        self.rnn = kind(4, 5, 2, batch_first=True, bidirectional=bidirectional, **options)
        self.norm = torch.nn.LayerNorm(5 + 5 * bidirectional)
        self.out = torch.nn.Linear(5 + 5 * bidirectional, 11)

    def forward(self, x):
        y, _ = self.rnn(self.embedding(x))
        return torch.log_softmax(self.out(torch.tanh(self.norm(y))), -1)


def stripped(path):
    """Keep of a model what computes."""
    model = onnx.load(path)
    del model.metadata_props[:], model.graph.metadata_props[:]
    for part in (*model.graph.node, *model.graph.value_info, *model.graph.initializer, *model.graph.input):
        del part.metadata_props[:]
        part.doc_string = ""
    onnx.save(model, path)


if __name__ == "__main__":
    main()

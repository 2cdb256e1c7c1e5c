"""Write the files of PyTorch's that the tests of files read, and what PyTorch computes with them.

Needs PyTorch with safetensors, which the tests do not: ``python -m tests.golden.make_interop_files``.
"""

from pathlib import Path

import numpy as np
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


if __name__ == "__main__":
    main()

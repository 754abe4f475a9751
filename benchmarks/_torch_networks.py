"""The networks of gpu.py in plain PyTorch, and their training step."""

import itertools

import torch
from torch import nn
from torch.nn import functional


class Bottleneck(nn.Module):
    def __init__(self, channels, width, stride):
        super().__init__()
        self.main = nn.Sequential(
            *normalized(channels, width, 1),
            nn.ReLU(inplace=True),
            *normalized(width, width, 3, stride),
            nn.ReLU(inplace=True),
            *normalized(width, 4 * width, 1),
        )
        same = stride == 1 and channels == 4 * width
        other = nn.Sequential(*normalized(channels, 4 * width, 1, stride))
        self.shortcut = nn.Identity() if same else other

    def forward(self, x):
        return functional.relu(self.main(x) + self.shortcut(x), inplace=True)


def normalized(channels, filters, size, stride=1):
    padding = size // 2
    convolution = nn.Conv2d(
        channels, filters, size, stride, padding, bias=False
    )
    return convolution, nn.BatchNorm2d(filters)


def resnet50(num_classes, blocks=(3, 4, 6, 3)):
    """Body and head, as in torchvision's."""
    layers = [*normalized(3, 64, 7, 2), nn.ReLU(inplace=True)]
    layers.append(nn.MaxPool2d(3, 2, padding=1))
    channels = 64
    for k, number in enumerate(blocks):
        width = 64 << k
        for i in range(number):
            stride = 2 if k and i == 0 else 1
            layers.append(Bottleneck(channels, width, stride))
            channels = 4 * width
    body = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return body, nn.Linear(channels, num_classes)


class FrozenBody(nn.Module):
    """A head that is trained on what a fixed body computes."""

    def __init__(self, body, head):
        super().__init__()
        self.body, self.head = body.requires_grad_(False), head

    def forward(self, x):
        with torch.no_grad():
            x = self.body.eval()(x)
        return self.head(x)


class LanguageModel(nn.Module):
    """LSTMs with dropout and a tied decoder; no weight drop."""

    def __init__(self, words, embedding_size, units, num_layers):
        super().__init__()
        self.embedding = nn.Embedding(words, embedding_size)
        sizes = [embedding_size, *[units] * (num_layers - 1), embedding_size]
        self.lstms = nn.ModuleList(
            nn.LSTM(*pair, batch_first=True)
            for pair in itertools.pairwise(sizes)
        )
        self.dropout = nn.Dropout(0.15)
        self.bias = nn.Parameter(torch.zeros(words))

    def forward(self, ids):
        x = self.embedding(ids)
        for lstm in self.lstms:
            x, _ = lstm(self.dropout(x))
        return functional.linear(
            self.dropout(x), self.embedding.weight, self.bias
        )


class Training:
    """Adam on a network, in float32 or by autocast."""

    def __init__(self, network, dtype=None, device="cuda"):
        self.network = network.to(device, memory_format=torch.channels_last)
        self.dtype, self.device = dtype, device
        trained = [p for p in network.parameters() if p.requires_grad]
        self.optimizer = torch.optim.Adam(trained)
        self.scaler = torch.amp.GradScaler(
            device, enabled=dtype is torch.float16
        )

    def autocast(self):
        return torch.autocast(
            self.device, self.dtype, enabled=self.dtype is not None
        )

    def step(self, x, y):
        x, y = (t.to(self.device, non_blocking=True) for t in (x, y))
        with self.autocast():
            scores = self.network(x)
            # One row for each label.
            scores = scores.reshape(-1, scores.shape[-1])
            loss = functional.cross_entropy(scores, y.flatten())
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return loss.detach()

    def epoch(self, x, y, batch_size):
        self.network.train()
        losses = [
            self.step(x[i : i + batch_size], y[i : i + batch_size])
            for i in range(0, len(x), batch_size)
        ]
        return float(torch.stack(losses).mean())  # waits for the GPU

    @torch.no_grad()
    def outputs(self, x, batch_size, views=(lambda x: x,)):
        """The mean of the outputs for views of the data."""
        self.network.eval()
        found = []
        for i in range(0, len(x), batch_size):
            batch = x[i : i + batch_size].to(self.device, non_blocking=True)
            with self.autocast():
                seen = [self.network(view(batch)) for view in views]
            found.append(sum(seen) / len(seen))
        return torch.cat(found).float().cpu()

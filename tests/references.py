"""What a small network and its optimizers do, in NumPy alone."""

import numpy as np


def gradients(weights, x, y):
    """Of the mean squared error of Dense layers with tanh between them."""
    kernels, biases = weights[::2], weights[1::2]
    signals = [x.astype("float64")]
    for kernel, bias in zip(kernels, biases, strict=True):
        signals.append(np.tanh(signals[-1] @ kernel + bias))
    signals[-1] = signals[-2] @ kernels[-1] + biases[-1]
    delta, found = 2 * (signals[-1] - y) / y.size, []
    for kernel, signal in zip(kernels[::-1], signals[-2::-1], strict=True):
        found = [signal.T @ delta, delta.sum(axis=0), *found]
        delta = (delta @ kernel.T) * (1 - signal**2)
    return found


class Momentum:
    """SGD with momentum; a frozen variable is skipped."""

    def __init__(self, weights, rate=0.05, momentum=0.9):
        self.weights = [np.array(w, "float64") for w in weights]
        self.rates = [rate] * len(weights)
        self.momentum = momentum
        self.trained = [True] * len(weights)
        self.slots = [np.zeros((2, *w.shape)) for w in self.weights]
        self.iterations = 0

    def update(self, x, y):
        self.iterations += 1
        found = gradients(self.weights, x, y)
        for i, gradient in enumerate(found):
            if self.trained[i]:
                self.weights[i] += self.step(self.slots[i], gradient, i)

    def step(self, slot, gradient, i):
        slot[0] = self.momentum * slot[0] - self.rates[i] * gradient
        return slot[0]

    def train(self, x, y, batch_size):
        for start in range(0, len(x), batch_size):
            rows = slice(start, start + batch_size)
            self.update(x[rows], y[rows])

    def forget_frozen(self):
        """A saved file holds the slots of what trains."""
        for slot, trained in zip(self.slots, self.trained, strict=True):
            slot *= trained


class Adam(Momentum):
    """Adam; all variables share one count of updates."""

    def __init__(self, weights, rate=0.01):
        super().__init__(weights, rate)

    def step(self, slot, gradient, i):
        slot[0] += 0.1 * (gradient - slot[0])
        slot[1] += 0.001 * (gradient**2 - slot[1])
        t = self.iterations
        rate = self.rates[i] * np.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        return -rate * slot[0] / (np.sqrt(slot[1]) + 1e-7)

"""PyTorch, eager and compiled, in float32 and with bfloat16 autocast.

Eager: fused Adam, gradients dropped rather than zeroed, losses kept as tensors until the epoch ends.
Compiled: the whole step, gradients and Adam included, is one graph without breaks (``torch.func`` and Adam
written out), whose buffers are updated in place.
"""

import warnings

import numpy as np
import torch
import torch.nn.functional as F

from bench.peers import Base

ACTIVATIONS = {
    "linear": lambda z: z,
    "relu": torch.relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "softmax": lambda z: torch.softmax(z, 1),
}
BETAS, EPSILON = (0.9, 0.999), 1e-7
WIDE = 3e7  # operations of a step from which bfloat16 can be worth its conversions


class Peer(Base):
    name = "torch"

    @staticmethod
    def versions():
        return f"torch {torch.__version__}"

    @classmethod
    def why_not(cls, spec, compiled=False, bf16=False):
        if bf16 and not spec.inference and spec.flops < WIDE:
            return "measured on networks wide enough to gain by it"
        return super().why_not(spec)

    @classmethod
    def tolerance(cls, spec, compiled=False, bf16=False):
        # torch.optim.Adam adds epsilon after correcting the bias, Keras before.
        return 3e-2 if bf16 else 1e-3 if compiled else 5e-3

    @classmethod
    def settings(cls, spec, threads, compiled=False, bf16=False):
        if spec.inference or compiled:
            return [{}]
        # One copy of all rows in the epoch's order, of which batches are views; or a copy for every batch.
        return [{"gather": "epoch"}, {"gather": "batch"}]

    def __init__(self, spec, x, y, threads=1, compiled=False, bf16=False, gather="batch"):
        torch.set_num_threads(threads)
        self.spec, self.gather, self.bf16, self.compiled = spec, gather, bf16, compiled
        # (units, inputs), as torch.nn.Linear keeps them
        first = spec.initial_weights()
        self.weights = [torch.from_numpy(np.ascontiguousarray(w.T if w.ndim == 2 else w)) for w in first]
        if spec.inference:
            self.x = x
            self.forward = torch.compile(self.outputs, fullgraph=True) if compiled else self.outputs
            return
        self.x = torch.from_numpy(x)
        self.y = torch.from_numpy(y)
        if compiled:
            torch._dynamo.reset()
            self.state = [[torch.zeros_like(w) for w in self.weights] for _ in range(2)]
            self.iteration = torch.zeros(())
            # Another graph for the smaller last batch, rather than one for any size.
            self.step = torch.compile(self.whole_step, fullgraph=True, dynamic=False)
            return
        for w in self.weights:
            w.requires_grad_()
        if spec.optimizer == "sgd":
            self.optimizer = torch.optim.SGD(self.weights, lr=spec.learning_rate, fused=True)
        else:
            self.optimizer = torch.optim.Adam(
                self.weights, lr=spec.learning_rate, betas=BETAS, eps=EPSILON, fused=True
            )
        self.step = self.eager_step

    def logits(self, weights, x):
        last = len(self.spec.layers) - 1
        for i, (_, activation) in enumerate(self.spec.layers):
            x = F.linear(x, weights[2 * i], weights[2 * i + 1])
            if i < last or activation in ("tanh", "linear") or self.spec.loss == "mean_squared_error":
                x = ACTIVATIONS[activation](x)
        return x

    def objective(self, weights, x, y):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.bf16):
            out = self.logits(weights, x)
        out = out.float()
        if self.spec.sparse:
            return F.cross_entropy(out, y)
        if self.spec.loss == "binary_crossentropy":
            return F.binary_cross_entropy_with_logits(out, y)
        return F.mse_loss(out, y)

    def eager_step(self, x, y):
        loss = self.objective(self.weights, x, y)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss.detach()

    def whole_step(self, x, y):
        gradients, loss = torch.func.grad_and_value(self.objective)(self.weights, x, y)
        rate = self.spec.learning_rate
        if self.spec.optimizer == "sgd":
            for w, g in zip(self.weights, gradients, strict=True):
                w.sub_(rate * g)
            return loss
        self.iteration.add_(1)
        rate = rate * torch.sqrt(1 - BETAS[1] ** self.iteration) / (1 - BETAS[0] ** self.iteration)
        for w, g, m, v in zip(self.weights, gradients, *self.state, strict=True):
            m.lerp_(g, 1 - BETAS[0])
            v.lerp_(g * g, 1 - BETAS[1])
            w.sub_(rate * m / (torch.sqrt(v) + EPSILON))
        return loss

    def fit(self, epochs, shuffle=True):
        with torch.no_grad() if self.compiled else torch.enable_grad():
            return [self.epoch(shuffle) for _ in range(epochs)]

    def epoch(self, shuffle):
        rows, batch, step = len(self.x), self.spec.batch, self.step
        if batch >= rows:  # in another order the same step
            return float(step(self.x, self.y))
        order = torch.randperm(rows) if shuffle else torch.arange(rows)
        if self.gather == "epoch":
            xs, ys = self.x[order].split(batch), self.y[order].split(batch)
            losses = [step(x, y) for x, y in zip(xs, ys, strict=True)]
        else:
            select = torch.index_select
            losses = [step(select(self.x, 0, i), select(self.y, 0, i)) for i in order.split(batch)]
        means = torch.stack(losses)
        full = rows // batch
        total = means[:full].sum() * batch + means[full:].sum() * (rows % batch)
        return float(total) / rows

    def loss(self):
        with torch.no_grad():
            return float(self.objective(self.weights, self.x, self.y))

    def outputs(self, x):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.bf16):
            out = self.logits(self.weights, x)
        return torch.softmax(out.float(), 1) if self.spec.sparse else out.float()

    def predict(self, x):
        with torch.inference_mode():
            return self.forward(torch.from_numpy(x)).numpy()


warnings.filterwarnings("ignore", message=".*lr_scheduler.*")

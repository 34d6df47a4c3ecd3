"""JAX: the whole fit, shuffling included, in one jitted call, its parameters donated.

A scan over the steps of an epoch inside a scan over epochs. An order of rows is one sort of random bits with
the row's number in the lowest bits of each, five times as fast as ``jax.random.permutation``, which sorts
pairs. Of tiny networks the parameters may lie in one flat vector, so that Adam is one kernel and not one for
each array. Many models are a ``vmap``, split over host devices where there are several.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from bench.peers import Base

ACTIVATIONS = {
    "linear": lambda z: z,
    "relu": jax.nn.relu,
    "tanh": jnp.tanh,
    "sigmoid": jax.nn.sigmoid,
    "softmax": lambda z: z,  # the loss takes logits
}
BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-7


class Peer(Base):
    name = "jax"

    @staticmethod
    def versions():
        return f"jax {jax.__version__}"

    @classmethod
    def why_not(cls, spec, devices=False):
        if devices and spec.models == 1:
            return "several devices are for many models"
        return None

    @classmethod
    def settings(cls, spec, threads, devices=False):
        if spec.inference:
            return [{}]
        if spec.flops > 1e8:
            return [{}]
        # Tiny steps are ruled by what a turn of the loop costs: unrolled, it is paid more rarely.
        return [{}, {"flat": True}, {"flat": True, "unroll": 8}]

    def __init__(self, spec, x, y, threads=1, unroll=1, flat=False, devices=False):
        self.spec, self.unroll = spec, unroll
        if spec.inference:
            self.x = x
            self.weights = [jnp.asarray(w) for w in spec.initial_weights()]
            self.forward = jax.jit(functools.partial(forward, spec))
            return
        y = y.astype(np.int32 if spec.sparse else np.float32)
        weights = spec.initial_weights()
        self.many = spec.models > 1
        self.layout = Flat(spec) if flat else Arrays
        if flat:
            weights = [
                np.concatenate(
                    [w.reshape(*w.shape[: w.ndim - n], -1) for w, n in self.layout.parts(weights)], -1
                )
            ]
        keys = jax.random.split(jax.random.key(0, impl="rbg"), spec.models)
        if not self.many:
            keys = keys[0]
        slots = [np.zeros_like(w) for w in weights]
        steps = np.zeros(spec.models, np.int32) if self.many else np.int32(0)
        self.state = (weights, slots, [s.copy() for s in slots], steps, keys)
        self.data = (x, y)
        place = jnp.asarray
        if devices:
            mesh = jax.make_mesh((len(jax.devices()),), ("models",))
            sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("models"))
            self.mesh = mesh
            place = functools.partial(jax.device_put, device=sharding)
        self.state = jax.tree.map(place, self.state)
        self.data = jax.tree.map(place, self.data)
        self.devices = devices
        self.compiled = {}

    def fit(self, epochs, shuffle=True):
        key = (epochs, shuffle)
        if key not in self.compiled:
            run = functools.partial(fit, self.spec, self.layout, epochs, shuffle, self.unroll)
            if self.many:
                run = jax.vmap(run)
            if self.devices:
                models = jax.sharding.PartitionSpec("models")
                run = jax.shard_map(
                    run,
                    mesh=self.mesh,
                    in_specs=(models, models),
                    out_specs=(models, models),
                    check_vma=False,
                )
            self.compiled = {key: jax.jit(run, donate_argnums=0)}
        self.state, losses = self.compiled[key](self.state, self.data)
        losses = np.asarray(losses)
        return (losses.mean(axis=0) if self.many else losses).tolist()

    def loss(self):
        def mean(weights, x, y):
            return mean_loss(self.spec, self.layout.arrays(weights), x, y)

        if self.many:
            mean = jax.vmap(mean)
        return float(np.mean(jax.jit(mean)(self.state[0], *self.data)))

    def predict(self, x):
        return np.asarray(self.forward(self.weights, x))


class Arrays:
    """Parameters as they are: a list of arrays."""

    @staticmethod
    def arrays(weights):
        return weights


class Flat:
    """Parameters as a list of one vector."""

    def __init__(self, spec):
        self.shapes = [shape for k, m in spec.products for shape in ((k, m), (m,))]
        self.cuts = np.cumsum([0, *(int(np.prod(shape)) for shape in self.shapes)])

    def parts(self, weights):
        """The arrays, each with its number of axes; a leading one of many models is not of them."""
        return zip(weights, map(len, self.shapes), strict=True)

    def arrays(self, weights):
        cuts = zip(self.cuts, self.cuts[1:], self.shapes, strict=False)
        return [weights[0][begin:end].reshape(shape) for begin, end, shape in cuts]


def logits(spec, weights, x):
    for i, (_, activation) in enumerate(spec.layers):
        x = x @ weights[2 * i] + weights[2 * i + 1]
        last = i == len(spec.layers) - 1
        if not (last and spec.loss == "binary_crossentropy"):
            x = ACTIVATIONS[activation](x)
    return x


def forward(spec, weights, x):
    out = logits(spec, weights, x)
    if spec.sparse:
        return jax.nn.softmax(out)
    return jax.nn.sigmoid(out) if spec.loss == "binary_crossentropy" else out


def mean_loss(spec, weights, x, y):
    out = logits(spec, weights, x)
    if spec.loss == "mean_squared_error":
        return jnp.mean((out - y) ** 2)
    if spec.loss == "binary_crossentropy":
        return jnp.mean(jax.nn.softplus(out) - out * y)
    chosen = jnp.sum(jnp.where(jnp.arange(out.shape[1]) == y[:, None], out, 0), axis=1)
    return jnp.mean(jax.nn.logsumexp(out, axis=1) - chosen)


def step(spec, layout, state, x, y):
    weights, m, v, t = state
    loss, gradients = jax.value_and_grad(lambda w: mean_loss(spec, layout.arrays(w), x, y))(weights)
    rate = spec.learning_rate
    t = t + 1
    if spec.optimizer == "sgd":
        return ([w - rate * g for w, g in zip(weights, gradients, strict=True)], m, v, t), loss
    rate = rate * jnp.sqrt(1 - BETA_2**t) / (1 - BETA_1**t)
    m = [a + (1 - BETA_1) * (g - a) for a, g in zip(m, gradients, strict=True)]
    v = [a + (1 - BETA_2) * (g * g - a) for a, g in zip(v, gradients, strict=True)]
    weights = [w - rate * a / (jnp.sqrt(b) + EPSILON) for w, a, b in zip(weights, m, v, strict=True)]
    return (weights, m, v, t), loss


def fit(spec, layout, epochs, shuffle, unroll, state, data):
    """``epochs`` epochs, the last batch of each as small as it is."""
    x, y = data
    rows, batch = len(x), spec.batch
    full = rows // batch

    def one_step(carry, chosen):
        return step(spec, layout, carry, x[chosen], y[chosen])

    def epoch(carry, _):
        *inner, key = carry
        inner = tuple(inner)
        order = jnp.arange(rows, dtype=jnp.int32)
        # A full batch in another order is the same step.
        if shuffle and batch < rows:
            key, use = jax.random.split(key)
            number = rows.bit_length()
            keys = (jax.random.bits(use, (rows,), jnp.uint32) << number) | order.astype(jnp.uint32)
            order = (jnp.sort(keys, stable=False) & ((1 << number) - 1)).astype(jnp.int32)
        if full == 1 and rows == batch:
            inner, loss = step(spec, layout, inner, x, y)
            return (*inner, key), loss
        inner, losses = jax.lax.scan(
            one_step, inner, order[: full * batch].reshape(full, batch), unroll=min(unroll, max(full, 1))
        )
        total = jnp.sum(losses) * batch
        if rows % batch:
            inner, loss = one_step(inner, order[full * batch :])
            total += loss * (rows % batch)
        return (*inner, key), total / rows

    outer = unroll if rows == batch else 1
    return jax.lax.scan(epoch, state, length=epochs, unroll=outer)

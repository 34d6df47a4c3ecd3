"""loss_forward and loss_backward against the oracle and central differences."""

import numpy as np
import pytest
from oracle import EPSILON, FORMS, LOSSES, loss_kinks
from support import AWKWARD, central_differences, instruction_set, positive, same_bits, targets

import fastnn.kernels as k
from fastnn.kernels import runtime

SHAPES = [(1, 1), (1, 2), (7, 3), (33, 17), (5, 300), (700, 5), (19, 16)]
# each line of csrc/losses.def at its defaults, and at parameters of its own
EVERY = pytest.mark.parametrize(
    ("loss", "from_logits", "p"),
    [(*key, p) for key, (_, sets) in FORMS.items() for p in sets],
    ids=lambda value: str(value),
)
IN_TURN = {
    "quantile": 0,
    "categorical_focal_crossentropy": 3,
}  # how many parameters come before those in turn


def shape_for(loss, p, shape):
    """The shape, its units made a multiple of the parameters that are for units in turn."""
    count = len(p) - IN_TURN.get(loss, len(p) - 1) if p else 1
    return shape[0], -(-shape[1] // count) * count


def case(loss, from_logits, p, shape, rng, dtype):
    y = targets(loss, rng, *shape, dtype=dtype)
    if loss == "quantile":
        y = np.ascontiguousarray(y[:, : shape[1] // len(p)])
    if from_logits or not positive(loss):
        a = 3 * rng.normal(size=shape)
    elif loss.startswith("binary"):
        a = rng.uniform(0.01, 0.99, size=shape)
    elif loss in ("poisson", "mean_squared_logarithmic_error"):
        a = rng.gamma(2.0, size=shape) + 0.01
    else:
        a = rng.dirichlet(np.full(shape[1], 3.0), size=shape[0]) * 0.99 + 0.01 / shape[1]
    return y, a.astype(dtype)


@EVERY
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_matches_the_oracle(loss, from_logits, p, shape, dtype, isa, rng):
    shape = shape_for(loss, p, shape)
    y, a = case(loss, from_logits, p, shape, rng, dtype)
    rows, gradient = FORMS[loss, from_logits][0](y.astype(float), a.astype(float), *p)
    tolerance = 60 * np.finfo(dtype).eps
    got = k.loss_forward((loss, p), y, a, from_logits=from_logits)
    assert got.shape == (shape[0],)
    np.testing.assert_allclose(got, rows, rtol=tolerance, atol=tolerance * max(1, shape[1] / 8))
    got = k.loss_backward((loss, p), y, a, from_logits=from_logits)
    assert got.shape == a.shape
    assert got.dtype == dtype
    scale = max(np.abs(gradient).max(), np.abs(rows).max()) / shape[0]
    np.testing.assert_allclose(got, gradient / shape[0], rtol=tolerance, atol=tolerance * scale)


@EVERY
def test_backward_is_the_derivative_of_forward(loss, from_logits, p, isa, rng):
    shape = shape_for(loss, p, (6, 4))
    for _ in range(100):  # no difference quotient across a kink
        y, a = case(loss, from_logits, p, shape, rng, np.float64)
        if loss_kinks(loss, y, a, *p).min() > 1e-3:
            break
    if positive(loss) and not from_logits and not loss.startswith("binary"):
        a *= rng.uniform(0.5, 0.99, size=(6, 1))  # not normalised: the loss does that itself
    (want,) = central_differences(
        lambda: k.loss_forward((loss, p), y, a, from_logits=from_logits).mean(), [a], h=1e-6
    )
    np.testing.assert_allclose(
        k.loss_backward((loss, p), y, a, from_logits=from_logits), want, rtol=1e-5, atol=1e-7
    )


@EVERY
def test_defaults(loss, from_logits, p, rng):
    """A name alone has the defaults of its line."""
    y, a = case(loss, from_logits, FORMS[loss, from_logits][1][0], (6, 6), rng, np.float32)
    for f in (k.loss_forward, k.loss_backward):
        assert same_bits(
            f(loss, y, a, from_logits=from_logits),
            f((loss, FORMS[loss, from_logits][1][0]), y, a, from_logits=from_logits),
        )


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 0.3, 3.0, 50.0])
def test_log_cosh_keeps_its_relative_accuracy(scale, dtype, isa, rng):
    e = (scale * rng.normal(size=(400, 1))).astype(dtype)
    want = np.log1p(2 * np.sinh(np.minimum(np.abs(e.astype(float)), 300) / 2) ** 2)
    got = k.loss_forward("log_cosh", np.zeros_like(e), e)
    np.testing.assert_allclose(got, want[:, 0], rtol=8 * np.finfo(dtype).eps)
    assert (got >= 0).all()


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 5.0])
def test_focal_losses_of_certain_outputs_are_finite(gamma, dtype, isa):
    a = np.array([[0.0, 1.0], [1.0, 0.0], [0.5, 0.5]], dtype)
    y = np.array([[0.0, 1.0], [0.0, 1.0], [1.0, 0.0]], dtype)
    z = np.array([[-800.0, 800.0], [90.0, -90.0], [0.0, 0.0]], dtype)
    for spec in (
        ("binary_focal_crossentropy", (1, 0, gamma, 0, 1)),
        ("categorical_focal_crossentropy", (1, 0, gamma, 1.0)),
    ):
        for from_logits, out in ((False, a), (True, z)):
            rows = k.loss_forward(spec, y, out, from_logits=from_logits)
            assert np.isfinite(rows).all()
            assert rows[0] < 1e-5
            assert rows[1] > 10
            assert np.isfinite(k.loss_backward(spec, y, out, from_logits=from_logits)).all()


def test_cosine_similarity_of_zeros(dtype, isa):
    zero, one = np.zeros((1, 3), dtype), np.ones((1, 3), dtype)
    assert k.loss_forward("cosine_similarity", zero, one).tolist() == [0]
    assert k.loss_forward("cosine_similarity", one, zero).tolist() == [0]
    assert np.isfinite(k.loss_backward("cosine_similarity", one, zero)).all()


def test_quantiles_at_once_are_those_one_by_one(dtype, isa, rng):
    """Columns 0, 1, 2 are the quantiles of the first target, 3, 4, 5 those of the second."""
    y, a = rng.normal(size=(9, 2)).astype(dtype), rng.normal(size=(9, 6)).astype(dtype)
    levels = (0.1, 0.5, 0.9)
    together = k.loss_backward(("quantile", levels), y, a)
    for j in range(6):
        target, out = np.ascontiguousarray(y[:, j // 3, None]), np.ascontiguousarray(a[:, j, None])
        alone = k.loss_backward(("quantile", levels[j % 3 : j % 3 + 1]), target, out)
        np.testing.assert_allclose(together[:, j], alone[:, 0] / 6, rtol=1e-6)


@pytest.mark.parametrize(
    "loss", ["binary_crossentropy", "categorical_crossentropy", "sparse_categorical_crossentropy"]
)
def test_certain_and_wrong_is_clipped_not_infinite(loss, dtype, isa):
    a = np.array([[1.0, 0.0], [0.0, 1.0]], dtype)
    y = np.array([[1.0], [0.0]] if loss.startswith("sparse") else [[0.0, 1.0], [1.0, 0.0]], dtype)
    # 1 - 1e-7 is not a float32: the nearest are 1e-7 ± 2e-8 away, which moves the logarithm by 0.2 of 16.
    np.testing.assert_allclose(k.loss_forward(loss, y, a), -np.log(EPSILON), rtol=0.02)
    assert np.isfinite(k.loss_backward(loss, y, a)).all()
    right = 1 - y if loss.startswith("sparse") else y[::-1]
    np.testing.assert_allclose(k.loss_forward(loss, right, a), 0, atol=3e-7)


def test_no_gradient_passes_where_probabilities_are_clipped(dtype, isa):
    """Outputs of relu, tanh or no activation may be 0, 1 or beyond; a row may be clipped in part."""
    a = np.array([[-0.5, 0.0, 1e-9, 0.3, 1.0, 1.5, 0.7, 0.2]], dtype)
    for y in (np.zeros((1, 8), dtype), np.ones((1, 8), dtype), np.full((1, 8), 0.5, dtype)):
        want = LOSSES["binary_crossentropy", False](y.astype(float), a.astype(float))[1]
        got = k.loss_backward("binary_crossentropy", y, a)
        np.testing.assert_allclose(got, want, rtol=1e-5)
        assert (got[0, [0, 1, 2, 4, 5]] == 0).all()
    shares = np.array([[0.0, 1e-9, 0.25, 0.5, 0.25]], dtype)
    for sums in (1.0, 4.0):
        for y in (np.eye(5, dtype=dtype), np.full((1, 5), 0.2, dtype)):
            z = np.repeat(shares * dtype.type(sums), len(y), axis=0)
            want = LOSSES["categorical_crossentropy", False](y.astype(float), z.astype(float))[1] / len(y)
            np.testing.assert_allclose(
                k.loss_backward("categorical_crossentropy", y, z), want, rtol=1e-5, atol=1e-6
            )


@pytest.mark.parametrize(
    "loss", ["binary_crossentropy", "categorical_crossentropy", "sparse_categorical_crossentropy"]
)
def test_extreme_logits(loss, dtype, isa):
    """From logits nothing is clipped: the loss grows with the logit, and its gradient stays in [-1, 1]."""
    z = np.array([[1000.0, -1000.0]], dtype)
    wrong = np.array([[1.0]] if loss.startswith("sparse") else [[0.0, 1.0]], dtype)
    assert k.loss_forward(loss, wrong, z, from_logits=True).tolist() == [
        1000.0 if loss.startswith("binary") else 2000.0
    ]
    gradient = k.loss_backward(loss, wrong, z, from_logits=True)
    assert gradient.tolist() == ([[0.5, -0.5]] if loss.startswith("binary") else [[1, -1]])
    right = 1 - wrong if loss.startswith("sparse") else wrong[:, ::-1]
    assert k.loss_forward(loss, np.ascontiguousarray(right), z, from_logits=True).tolist() == [0]


def test_mean_absolute_error_has_no_gradient_where_it_is_zero(dtype, isa):
    y = np.array([[1.0, 2.0, 3.0, -1.0]], dtype)
    a = np.array([[1.0, 3.0, 1.0, -1.0]], dtype)
    assert k.loss_backward("mean_absolute_error", y, a).tolist() == [[0, 0.25, -0.25, 0]]


@EVERY
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_same_bits_for_every_instruction_set(loss, from_logits, p, shape, dtype, rng):
    y, a = case(loss, from_logits, p, shape_for(loss, p, shape), rng, dtype)
    results = []
    for name in runtime.instruction_sets():
        with instruction_set(name):
            results.append(
                [f((loss, p), y, a, from_logits=from_logits) for f in (k.loss_forward, k.loss_backward)]
            )
    for other in results[1:]:
        assert same_bits(results[0][0], other[0])
        assert same_bits(results[0][1], other[1])


@EVERY
@pytest.mark.parametrize("form", sorted(AWKWARD))
def test_awkward_memory_gives_the_same_bits(loss, from_logits, p, form, rng, dtype):
    y, a = case(loss, from_logits, p, shape_for(loss, p, (9, 5)), rng, dtype)
    convert = AWKWARD[form]
    for f in (k.loss_forward, k.loss_backward):
        assert same_bits(
            f((loss, p), convert(y), convert(a), from_logits=from_logits),
            f((loss, p), y, a, from_logits=from_logits),
        )


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"name": "mean_squared_eror"}, ["mean_squared_eror", "mean_squared_error"]),
        ({"name": "hinge?"}, ["hinge?"]),
        ({"y": np.ones((4, 3))}, ["y", "4", "3"]),
        ({"y": np.ones((3, 2))}, ["y", "2"]),
        ({"y": np.ones((3, 4, 1))}, ["y"]),
        ({"a": np.ones(3)}, ["a"]),
        ({"name": "sparse_categorical_crossentropy"}, ["y"]),
        ({"name": "sparse_categorical_crossentropy", "y": np.array([[0.0], [4.0], [1.0]])}, ["y", "4"]),
        ({"name": "sparse_categorical_crossentropy", "y": np.array([[0.0], [-1.0], [1.0]])}, ["y", "-1"]),
        ({"name": "sparse_categorical_crossentropy", "y": np.array([[0.0], [0.5], [1.0]])}, ["y", "0.5"]),
        ({"name": "sparse_categorical_crossentropy", "y": np.array([[0.0], [np.nan], [1.0]])}, ["y", "nan"]),
        ({"name": "mean_squared_error", "from_logits": True}, ["from_logits"]),
        ({"name": ("huber", ())}, ["huber", "1"]),
        ({"name": ("huber", (1.0, 2.0))}, ["huber", "1", "2"]),
        ({"name": ("quantile", ())}, ["quantile"]),
        ({"name": ("quantile", (0.1, 0.5, 0.9))}, ["quantile", "3", "4"]),
        ({"name": ("quantile", [0.5] * 200)}, ["quantile", "127"]),
        ({"name": 3}, ["name"]),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else "",
)
def test_bad_arguments(change, names):
    good = {"name": "mean_squared_error", "y": np.ones((3, 4)), "a": np.ones((3, 4))}
    for f in (k.loss_forward, k.loss_backward):
        with pytest.raises((ValueError, TypeError)) as caught:
            f(**{**good, **change})
        for name in names:
            assert name in str(caught.value)

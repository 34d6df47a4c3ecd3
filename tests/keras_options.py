"""What the random models of test_random_models_against_keras.py are made of: every option, one line each.

``OPTIONS[kind][source]`` says where an option fits: words, of which one must be true of the model (none: it
fits everywhere). The words are the names of ``HEADS``, ``float64``, and what `random_models.generate` says of
a model. ``source`` is Python, ``k`` is fastnn or Keras; a new option is a new line here and nothing else.
Initializers are not here, since weights are copied.
"""

from typing import NamedTuple


class Head(NamedTuple):
    """A kind of problem: how many outputs, the last layer's activation, the targets."""

    units: tuple[int, ...]
    activations: tuple[str, ...]
    targets: str  # of ROWS rows and UNITS columns
    words: str = ""  # more of what is true of such a model


_YES_OR_NO, _ONE_HOT = "rng.integers(0, 2, (ROWS, UNITS))", "np.eye(UNITS)[rng.integers(0, UNITS, ROWS)]"
_NUMBER = "rng.integers(0, UNITS, ROWS)"
_SIDES = "rng.choice([-1.0, 1.0], (ROWS, UNITS))"
HEADS = {
    "real": Head((1, 3), ("None", "None", '"tanh"'), "rng.normal(size=(ROWS, UNITS))"),
    "vector": Head((3,), ("None",), "rng.normal(size=(ROWS, UNITS))"),
    "positive": Head((1, 3), ('"softplus"', '"exponential"'), "rng.uniform(0.5, 2, (ROWS, UNITS))"),
    "one yes or no": Head((1,), ('"sigmoid"',), _YES_OR_NO, "yes-or-no few-classes"),
    "yes or no": Head((3,), ('"sigmoid"',), _YES_OR_NO, "yes-or-no"),
    "shares": Head((1, 3), ('"sigmoid"',), "rng.random((ROWS, UNITS))"),
    "yes or no logits": Head((1, 3), ("None",), _YES_OR_NO),
    "one-hot": Head((3,), ('"softmax"',), _ONE_HOT, "classes few-classes"),
    "one-hot logits": Head((3,), ("None",), _ONE_HOT, "classes few-classes"),
    "distribution": Head((3,), ('"softmax"',), "rng.dirichlet(np.ones(UNITS), ROWS)"),
    "number": Head((3,), ('"softmax"',), _NUMBER, "numbers few-classes"),
    "number logits": Head((3,), ("None",), _NUMBER, "numbers few-classes"),
    "sides": Head((1, 3), ("None", '"tanh"'), _SIDES),
}
HEADS = {name.replace(" ", "-"): head for name, head in HEADS.items()}

# Few shapes, so that Keras soon has compiled most single operations: layers see batches of 8 and 5 rows, into
# which 21 rows, 13, and those that validation leaves are cut, or all 21.
COLUMNS, HIDDEN, ROWS, VALIDATION_ROWS = 6, (6, 20), 21, 13

OPTIONS: dict[str, dict[str, str]] = {
    # ---- k.losses ----
    "loss": {
        "MeanSquaredError()": "real",
        "MeanAbsoluteError()": "real",
        "MeanAbsolutePercentageError()": "positive",
        "MeanSquaredLogarithmicError()": "positive",
        "Huber()": "real",
        "Huber(delta=0.4)": "real",
        "LogCosh()": "real",
        "CosineSimilarity()": "vector",
        "Poisson()": "positive",
        "KLDivergence()": "distribution",
        "BinaryCrossentropy()": "yes-or-no one-yes-or-no shares",
        "BinaryCrossentropy(label_smoothing=0.2)": "yes-or-no one-yes-or-no",
        "BinaryCrossentropy(from_logits=True)": "yes-or-no-logits",
        "BinaryFocalCrossentropy()": "yes-or-no one-yes-or-no",
        "BinaryFocalCrossentropy(apply_class_balancing=True, alpha=0.3, gamma=1.5)": "yes-or-no",
        "BinaryFocalCrossentropy(from_logits=True, label_smoothing=0.1)": "yes-or-no-logits",
        "CategoricalCrossentropy()": "one-hot distribution",
        "CategoricalCrossentropy(label_smoothing=0.2)": "one-hot",
        "CategoricalCrossentropy(from_logits=True)": "one-hot-logits",
        "CategoricalFocalCrossentropy()": "one-hot",
        "CategoricalFocalCrossentropy(alpha=[0.2, 0.3, 0.5], gamma=1.5)": "one-hot",
        "CategoricalFocalCrossentropy(from_logits=True, label_smoothing=0.1)": "one-hot-logits",
        "CategoricalGeneralizedCrossEntropy()": "number",
        "CategoricalGeneralizedCrossEntropy(q=0.8)": "number",
        "SparseCategoricalCrossentropy()": "number",
        "SparseCategoricalCrossentropy(from_logits=True)": "number-logits",
        "SparseCategoricalCrossentropy(ignore_class=1)": "number",
        "Hinge()": "sides",
        "SquaredHinge()": "sides",
        "CategoricalHinge()": "one-hot",
        "Dice()": "yes-or-no",
        "Dice(axis=-1)": "yes-or-no",
        "Tversky(alpha=0.3, beta=0.7)": "yes-or-no",
        "Tversky(axis=-1)": "yes-or-no",
    },
    "reduction": {'reduction="sum"': "", 'reduction="mean_with_sample_weight"': ""},
    # ---- k.metrics ----
    "metric": {
        "MeanSquaredError()": "real vector positive",
        "MeanAbsoluteError()": "real vector positive sides",
        "BinaryCrossentropy()": "yes-or-no shares",
        "BinaryCrossentropy(from_logits=True, label_smoothing=0.1)": "yes-or-no-logits",
        "CategoricalCrossentropy()": "one-hot distribution",
        "CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)": "one-hot-logits",
        "SparseCategoricalCrossentropy()": "number",
        "SparseCategoricalCrossentropy(from_logits=True, ignore_class=2)": "number-logits",
        "BinaryAccuracy()": "yes-or-no",
        "BinaryAccuracy(threshold=0.3)": "yes-or-no",
        "CategoricalAccuracy()": "classes",
        "SparseCategoricalAccuracy()": "numbers",
    },
    "named metric": {
        '"accuracy"': "yes-or-no classes numbers",
        '"mse"': "real vector positive sides",
        '"mae"': "real vector positive",
    },
    # ---- k.optimizers; the first argument is the rate ----
    "optimizer": {
        "SGD(0.1)": "",
        "SGD(0.05, momentum=0.8)": "",
        "SGD(0.05, momentum=0.8, nesterov=True)": "",
        "Adam(0.02)": "",
        "Adam(0.02, beta_1=0.7, beta_2=0.9, epsilon=0.001)": "",
        "Adam(0.02, amsgrad=True, beta_2=0.8)": "",
        "AdamW(0.02, weight_decay=0.2)": "",
        "AdamW(0.02)": "",
        "Adamax(0.02)": "",
        "Adamax(0.02, beta_1=0.6, beta_2=0.9)": "",
        "Nadam(0.02)": "",
        "Nadam(0.02, beta_1=0.6, beta_2=0.9)": "",
        "RMSprop(0.01)": "",
        "RMSprop(0.01, rho=0.7, momentum=0.5)": "",
        "RMSprop(0.01, centered=True, epsilon=0.001)": "",
        "Adagrad(0.05)": "",
        "Adagrad(0.05, initial_accumulator_value=0.3)": "",
        "Adadelta(0.5)": "",
        "Adadelta(0.5, rho=0.8, epsilon=0.0001)": "",
        "Lion(0.005)": "float64",
        "Lion(0.005, beta_1=0.6, beta_2=0.8)": "float64",
        "Ftrl(0.05)": "",
        "Ftrl(0.05, l1_regularization_strength=0.01, l2_regularization_strength=0.02, beta=0.1)": "",
        "Ftrl(0.05, learning_rate_power=-0.7, l2_shrinkage_regularization_strength=0.01)": "",
        "Lamb(0.02)": "",
        "Lamb(0.02, beta_1=0.7, beta_2=0.9)": "",
        "Adafactor(0.02)": "",
        "Adafactor(0.02, relative_step=False, beta_2_decay=-0.6)": "",
        "Adafactor(0.02, clip_threshold=0.5)": "",
        "Muon(0.02)": "",
        "Muon(0.02, momentum=0.8, nesterov=False, ns_steps=3)": "",
        'Muon(0.02, exclude_layers=["last"], adam_lr_ratio=0.5)': "",
    },
    "schedule": {
        "ExponentialDecay({rate}, 5, 0.5)": "",
        "ExponentialDecay({rate}, 3, 0.6, staircase=True)": "",
        "InverseTimeDecay({rate}, 4, 0.7)": "",
        "PolynomialDecay({rate}, 6, 0.001, power=2.0)": "",
        "PolynomialDecay({rate}, 4, 0.001, cycle=True)": "",
        "PiecewiseConstantDecay([3, 6], [{rate}, 0.01, 0.002])": "",
        "CosineDecay({rate}, 8, alpha=0.1)": "",
        "CosineDecay(0.001, 8, warmup_target={rate}, warmup_steps=3)": "",
        "CosineDecayRestarts({rate}, 4, t_mul=1.5, m_mul=0.8, alpha=0.1)": "",
    },
    "decay": {
        "weight_decay=0.1": "",
        'weight_decay=0.2; optimizer.exclude_from_weight_decay(var_names=["bias"])': "",
    },
    "clip": {
        "clipnorm=0.1": "",
        "clipvalue=0.02": "",
        "global_clipnorm=0.2": "",
    },
    "average": {
        "use_ema=True, ema_momentum=0.8": "",
        "use_ema=True, ema_momentum=0.6, ema_overwrite_frequency=3": "",
    },
    "accumulation": {"gradient_accumulation_steps=2": "", "gradient_accumulation_steps=3": ""},
    "loss scale": {"loss_scale_factor=16.0": ""},
    # ---- k.layers ----
    "activation": {
        "None": "",
        '"relu"': "",
        '"tanh"': "",
        '"sigmoid"': "",
        '"celu"': "",
        '"elu"': "",
        '"exponential"': "",
        '"gelu"': "",
        '"hard_shrink"': "",
        '"hard_sigmoid"': "",
        '"hard_silu"': "",
        '"hard_tanh"': "",
        '"leaky_relu"': "",
        '"log_sigmoid"': "",
        '"log_softmax"': "",
        '"mish"': "",
        '"relu6"': "",
        '"selu"': "",
        '"silu"': "",
        '"soft_shrink"': "",
        '"softmax"': "",
        '"softplus"': "",
        '"softsign"': "",
        '"sparse_plus"': "",
        '"sparse_sigmoid"': "",
        '"squareplus"': "",
        '"tanh_shrink"': "",
        "partial(k.activations.relu, negative_slope=0.1, max_value=1.5, threshold=0.2)": "",
        "partial(k.activations.relu, max_value=0.8)": "",
        "partial(k.activations.leaky_relu, negative_slope=0.4)": "",
        "partial(k.activations.elu, alpha=0.6)": "",
        "partial(k.activations.celu, alpha=0.7)": "",
        "partial(k.activations.gelu, approximate=True)": "",
        "partial(k.activations.squareplus, b=2)": "",
        "partial(k.activations.soft_shrink, threshold=0.2)": "",
        "partial(k.activations.hard_shrink, threshold=0.3)": "",
        "partial(k.activations.threshold, threshold=0.1, default_value=-0.3)": "",
        "k.layers.LeakyReLU(0.15)": "",
    },
    "dense": {
        "use_bias=False": "",
        "trainable=False": "",
    },
    "layer": {
        "BatchNormalization()": "",
        "BatchNormalization(momentum=0.6, epsilon=0.02)": "",
        "BatchNormalization(center=False)": "",
        "BatchNormalization(scale=False)": "",
        "BatchNormalization(trainable=False)": "",
        "LayerNormalization()": "",
        "LayerNormalization(epsilon=0.02, center=False)": "",
        "LayerNormalization(scale=False)": "",
        "RMSNormalization()": "",
        "RMSNormalization(epsilon=0.01)": "",
        "PReLU()": "",
        "ReLU()": "",
        "ReLU(max_value=1.2, negative_slope=0.1, threshold=0.1)": "",
        "LeakyReLU()": "",
        "ELU(alpha=0.7)": "",
        "Softmax()": "",
        'Activation("tanh")': "",
        "Rescaling(0.5, offset=0.1)": "",
        "Normalization(mean=0.1, variance=2.0)": "",
        "Normalization(mean=0.1, variance=2.0, invert=True)": "",
        "Dropout(0.0)": "",
        "AlphaDropout(0.0)": "",
        "GaussianNoise(0.0)": "",
        "GaussianDropout(0.0)": "",
    },
    "first layer": {
        "Flatten()": "",
        "Rescaling([0.5, 1.0, 0.7, -0.3, 2.0, 1.0], offset=0.1)": "",
        "BatchNormalization()": "",
    },
    # ---- model.fit ----
    "weights": {
        "sample_weight=w": "",
        "class_weight={0: 0.4, 1: 2.0, 2: 1.5}": "few-classes",
    },
    "validation": {
        "validation_split=0.38": "",
        "validation_data=(x_val, y_val)": "",
        "validation_data=(x_val, y_val, w_val)": "",
        "validation_data=(x_val, y_val), validation_freq=2": "",
        "validation_data=(x_val, y_val), validation_batch_size=5, validation_steps=2": "",
    },
    "batches": {
        "batch_size=8": "",
        "batch_size=8, initial_epoch=1": "",
        "batch_size=8, steps_per_epoch=2": "",
        "batch_size=21": "",
    },
    "callbacks": {
        "k.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.7)": "fixed-rate",
        'k.callbacks.ReduceLROnPlateau("loss", factor=0.5, patience=0, min_delta=0.05)': "fixed-rate",
        'k.callbacks.EarlyStopping("loss", min_delta=0.02, patience=0)': "",
    },
    "afterwards": {
        'model.fit(x, y, batch_size=8, epochs=1, shuffle=False, verbose=0)': "goes-on",
        'model.train_on_batch(x[:8], y[:8])': "goes-on",
    },
}  # fmt: skip

# What Keras has and fastnn too, but no model here: at most five, each with its reason.
EXCEPTIONS: dict[str, str] = {
    "dropout and noise with a rate above 0": "other random numbers; see test_layers.py",
    "shuffle=True": "other random numbers; see test_models_rows.py",
    "a loss object as a metric": "Keras averages over batches, whatever their sizes; docs/metrics.md",
}

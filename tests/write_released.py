"""Write the files that later versions must be able to load: ``python tests/write_released.py``.

Run once for each release, and whenever the format's number rises; files that are there are never replaced.
"""

from pathlib import Path

import numpy as np

import fastnn
from fastnn import layers, optimizers
from fastnn.files.container import FORMAT


def models():
    """Models that have every layer among them, by a name for the file."""
    yield (
        "layers",
        "float32",
        [
            layers.Flatten(),
            layers.Normalization(mean=0.5, variance=2.0),
            layers.Dense(7, "relu", kernel_regularizer="l2", kernel_constraint="max_norm"),
            layers.BatchNormalization(),
            layers.Residual([layers.LayerNormalization(), layers.Dense(7, "gelu"), layers.Dropout(0.1)]),
            layers.PReLU(),
            layers.RMSNormalization(),
            layers.Dense(5, layers.LeakyReLU(0.1), use_bias=False),
            layers.GaussianNoise(0.1),
            layers.ActivityRegularization(l2=0.01),
            layers.Dense(3, "softmax"),
        ],
    )
    yield "double", "float64", [layers.Rescaling(0.5, 1.0), layers.Dense(4, "tanh"), layers.Dense(2)]


def main():
    folder = Path(__file__).parent / "files"
    folder.mkdir(exist_ok=True)
    for name, dtype, stack in models():
        path = folder / f"format_{FORMAT}_{fastnn.__version__}_{name}.safetensors"
        if path.exists():
            continue
        fastnn.utils.set_random_seed(1)
        fastnn.config.set_floatx(dtype)
        stack = [type(layer).from_config({**layer.get_config(), "dtype": dtype}) for layer in stack]
        shape = (2, 2) if name == "layers" else (4,)
        model = fastnn.Sequential([layers.Input(shape, dtype=dtype), *stack])
        schedule = optimizers.schedules.ExponentialDecay(0.01, 10, 0.9)
        model.compile(optimizers.AdamW(schedule, weight_decay=0.01), "mse", metrics=["mae"])
        rng = np.random.default_rng(0)
        rows = rng.normal(size=(2, *model.input_shape[1:])).astype(dtype)
        model.fit(rows, np.zeros((2, model.output_shape[-1])), epochs=3, verbose=0)
        outputs = model.predict(rows)
        model.metadata = {"rows": rows.tolist(), "outputs": outputs.tolist(), "iterations": 3}
        model.save(path, overwrite=False)
        print(path.name)


if __name__ == "__main__":
    main()

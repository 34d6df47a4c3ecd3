"""A model for a small machine: trained here, written as C, compiled into a program without Python.

A thermistor in a voltage divider tells the temperature around it, but the current through it heats it, the
more the higher the supply. The network learns to correct that: from the reading and the supply voltage to
degrees.

Run it: ``python examples/c_export.py`` (it needs gcc, clang or another ``cc``)
"""

import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

import fastnn as keras

BETA, COLD, OHMS, DIVIDER = 3950.0, 298.15, 1000.0, 1000.0  # of the thermistor; the other resistor
KELVIN_PER_WATT = 1000.0  # how much its own heat warms it, a bead in still air

MAIN = """\
#include <stdio.h>
#include "thermometer.h"

int main(void)
{
    float row[THERMOMETER_INPUTS], degrees[THERMOMETER_OUTPUTS];

    while (scanf("%f %f", &row[0], &row[1]) == THERMOMETER_INPUTS) {
        thermometer_predict(row, degrees);
        printf("%.9g\\n", (double)degrees[0]);
    }
    return 0;
}
"""


def measure(rows, seed=0):
    """Readings (0 to 1) and supply voltages, and the temperatures around the thermistor, in degrees."""
    rng = np.random.default_rng(seed)
    warm = rng.uniform(-10, 70, rows) + 273.15
    supply = rng.uniform(3, 5, rows)
    ohms = OHMS * np.exp(BETA * (1 / warm - 1 / COLD))
    heat = supply**2 * ohms / (ohms + DIVIDER) ** 2
    x = np.column_stack([ohms / (ohms + DIVIDER), supply]).astype("float32")
    return x, (warm - KELVIN_PER_WATT * heat - 273.15).astype("float32")[:, None]


def uncorrected(x):
    """Degrees by the thermistor's formula alone: those of the thermistor itself."""
    share = x[:, :1].astype(float)
    return 1 / (1 / COLD + np.log(share / (1 - share) * DIVIDER / OHMS) / BETA) - 273.15


def train(seed=0):
    """The network; the first and last layers are its units: from volts, and to degrees."""
    x, y = measure(4000, seed)
    keras.utils.set_random_seed(seed)
    scale = keras.layers.Normalization()
    scale.adapt(x)
    model = keras.Sequential(
        [
            keras.Input(shape=(2,)),
            scale,
            keras.layers.Dense(16, activation="tanh"),
            keras.layers.Dense(16, activation="tanh"),
            keras.layers.Dense(1),
            keras.layers.Rescaling(20.0, offset=30.0),
        ],
        name="thermometer",
    )
    model.compile(optimizer=keras.optimizers.Adam(0.01), loss="mse")
    model.fit(x, y, batch_size=64, epochs=60, verbose=0)
    model.optimizer.learning_rate = 0.001
    model.fit(x, y, batch_size=64, epochs=20, verbose=0)
    return model


def build(model, folder):
    """Write the model as C and compile it with the program above."""
    compiler = next(filter(shutil.which, ("cc", "gcc", "clang")), None)
    if compiler is None:
        raise SystemExit("This example needs a C compiler: gcc, clang or another cc.")
    model.export(folder / "thermometer.c")
    (folder / "main.c").write_text(MAIN)
    program = folder / "thermometer"
    flags = ["-std=c99", "-O2", "-Wall", "-Wextra", "-pedantic"]
    subprocess.run(
        [compiler, *flags, "main.c", "thermometer.c", "-lm", "-o", str(program)], cwd=folder, check=True
    )
    return program


def ask(program, x):
    """What the compiled program answers to rows of x."""
    lines = "\n".join(f"{reading!r} {supply!r}" for reading, supply in x.tolist())
    done = subprocess.run([str(program)], input=lines, capture_output=True, text=True, check=True)
    return np.array(done.stdout.split(), "float32")[:, None]


def main():
    model = train()
    x, y = measure(1000, seed=1)
    with tempfile.TemporaryDirectory() as name:
        program = build(model, Path(name))
        found = ask(program, x)
        head = (Path(name) / "thermometer.c").read_text().split("*/")[0]
    alone, off = (np.abs(answer - y).max() for answer in (uncorrected(x), found))
    apart = np.abs(found - model.predict(x, verbose=0)).max()
    print(head.strip())
    print(f"\nThe thermistor's formula alone is {alone:.2f} degrees off at most, the program {off:.2f}.")
    print(f"The program and predict are {apart:.1g} degrees apart at most.")


if __name__ == "__main__":
    main()

"""ModelCheckpoint and BackupAndRestore."""

import os
import subprocess
import sys

import pytest

import fastnn
from fastnn import callbacks, layers
from fastnn.models import load_model


def made(seed=0, optimizer="adam"):
    fastnn.utils.set_random_seed(seed)
    model = fastnn.Sequential(
        [layers.Input((4,)), layers.Dense(6, "tanh"), layers.Dropout(0.3), layers.Dense(1)]
    )
    model.compile(optimizer, "mse", metrics=["mae"])
    return model


@pytest.fixture
def data(rng):
    return rng.normal(size=(40, 4)).astype("f4"), rng.normal(size=(40, 1)).astype("f4")


def same(a, b):
    return all((p == q).all() for p, q in zip(a, b, strict=True))


# ---- ModelCheckpoint -----------------------------------------------------------------------------


def test_each_epoch_has_its_file(data, tmp_path):
    model = made()
    path = tmp_path / "deep" / "{epoch:02d}-{loss:.4f}.keras"
    call = callbacks.ModelCheckpoint(path)
    history = model.fit(*data, epochs=3, verbose=0, callbacks=[call]).history
    names = sorted(os.listdir(tmp_path / "deep"))
    assert names == [f"{i + 1:02d}-{loss:.4f}.keras" for i, loss in enumerate(history["loss"])]
    twin = load_model(tmp_path / "deep" / names[1])
    assert twin.optimizer.iterations == 4
    twin.fit(*data, epochs=1, verbose=0)
    assert same(twin.get_weights(), model.get_weights())


def test_the_best_only(data, tmp_path, capsys):
    model = made(optimizer=fastnn.optimizers.SGD(0.5))
    values = iter([3.0, 2.0, 2.5, 1.0])

    class Says(callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["score"] = next(values)

    call = callbacks.ModelCheckpoint(
        tmp_path / "best.weights.h5",
        "score",
        verbose=1,
        save_best_only=True,
        save_weights_only=True,
        mode="min",
    )
    seen = []

    class Looks(callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            twin = made()
            twin.load_weights(tmp_path / "best.weights.h5")
            seen.append(same(twin.get_weights(), model.get_weights()))

    model.fit(*data, epochs=4, verbose=0, callbacks=[Says(), call, Looks()])
    assert seen == [True, True, False, True]
    assert call.best == 1.0
    path = tmp_path / "best.weights.h5"
    lines = [line for line in capsys.readouterr().out.splitlines() if line]
    assert lines == [
        f"Epoch 1: score improved from None to 3.00000, saving model to {path}",
        f"Epoch 2: score improved from 3.00000 to 2.00000, saving model to {path}",
        "Epoch 3: score did not improve from 2.00000",
        f"Epoch 4: score improved from 2.00000 to 1.00000, saving model to {path}",
    ]


def test_a_first_value_to_beat_and_directions(data, tmp_path):
    model = made()
    call = callbacks.ModelCheckpoint(tmp_path / "m", "mae", save_best_only=True, initial_value_threshold=1e-9)
    model.fit(*data, verbose=0, callbacks=[call])
    assert os.listdir(tmp_path) == []
    call = callbacks.ModelCheckpoint(tmp_path / "m", "mae", save_best_only=True, mode="max")
    model.fit(*data, verbose=0, callbacks=[call])
    assert os.listdir(tmp_path) == ["m"]


def test_each_so_many_batches(data, tmp_path):
    model = made()
    call = callbacks.ModelCheckpoint(tmp_path / "{epoch}-{batch}", save_freq=3)
    model.fit(*data, batch_size=8, epochs=2, verbose=0, callbacks=[call])
    assert sorted(os.listdir(tmp_path)) == ["1-3", "2-1", "2-4"]
    assert load_model(tmp_path / "2-1").optimizer.iterations == 6


def test_wrong_arguments(data, tmp_path):
    model = made()
    for freq in (0, -1, 1.5, True, "batch"):
        with pytest.raises(ValueError, match="save_freq"):
            callbacks.ModelCheckpoint(tmp_path / "m", save_freq=freq)
    with pytest.raises(TypeError):
        callbacks.ModelCheckpoint(5)
    with pytest.raises(KeyError, match=r"val_loss.*epoch, .*loss"):
        model.fit(*data, verbose=0, callbacks=[callbacks.ModelCheckpoint(tmp_path / "{val_loss:.2f}")])
    with pytest.warns(UserWarning, match=r"val_loss.*nothing is saved"):
        model.fit(
            *data, verbose=0, callbacks=[callbacks.ModelCheckpoint(tmp_path / "m", save_best_only=True)]
        )
    own = callbacks.ModelCheckpoint(tmp_path / "m", monitor="own", save_best_only=True)
    with pytest.raises(ValueError, match="direction"):
        model.fit(*data, verbose=0, callbacks=[own])
    with pytest.raises(OSError, match="directory"):
        model.fit(*data, verbose=0, callbacks=[callbacks.ModelCheckpoint(tmp_path)])


def test_against_keras(data, tmp_path, capsys):
    """The same files after the same epochs, the same lines."""
    keras = pytest.importorskip("keras")
    x, y = data
    weights = made().get_weights()
    said = []
    for k, save in ((fastnn, "fastnn"), (keras, "keras")):
        model = k.Sequential([k.layers.Input((4,)), k.layers.Dense(6, "tanh"), k.layers.Dense(1)])
        model.compile(k.optimizers.SGD(1.1), "mse", metrics=["mae"])
        model.set_weights(weights)
        folder = tmp_path / save
        options = {"save_weights_only": True, "verbose": 1}
        calls = [
            k.callbacks.ModelCheckpoint(folder / "a{epoch}.weights.h5", save_best_only=True, **options),
            k.callbacks.ModelCheckpoint(folder / "b{epoch}-{batch:02d}.weights.h5", save_freq=4, **options),
            k.callbacks.ModelCheckpoint(folder / "c.weights.h5", **options),
        ]
        model.fit(
            x, y, batch_size=16, epochs=5, shuffle=False, validation_split=0.25, verbose=0, callbacks=calls
        )
        text = capsys.readouterr().out.replace(str(folder), "")
        said.append(
            ([line.rstrip() for line in text.splitlines() if line.strip()], sorted(os.listdir(folder)))
        )
    assert said[0][1] == said[1][1]
    # Keras says once more that it has finished
    assert said[0][0] == [line for line in said[1][0] if "finished" not in line]


# ---- BackupAndRestore ----------------------------------------------------------------------------


class Dies(callbacks.Callback):
    """Raises after an epoch."""

    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_end(self, epoch, logs=None):
        if epoch == self.epoch:
            raise KeyboardInterrupt


@pytest.mark.parametrize("optimizer", ["adam", "lamb", "nadam"])
def test_a_training_goes_on_where_it_was_interrupted(optimizer, data, tmp_path):
    reference = made(0, optimizer)
    expected = reference.fit(*data, epochs=7, verbose=0, callbacks=[Halves()]).history
    backup = tmp_path / "backup"
    first = made(0, optimizer)
    with pytest.raises(KeyboardInterrupt):
        first.fit(
            *data,
            epochs=7,
            verbose=0,
            callbacks=[Halves(), callbacks.BackupAndRestore(backup), Dies(3)],
        )
    assert os.listdir(backup) == ["latest.safetensors"]
    second = made(99, optimizer)  # another process: other weights, another seed
    history = second.fit(*data, epochs=7, verbose=0, callbacks=[callbacks.BackupAndRestore(backup), Halves()])
    assert history.epoch == [4, 5, 6]
    assert history.history == {key: values[4:] for key, values in expected.items()}
    assert same(second.get_weights(), reference.get_weights())
    assert os.listdir(backup) == []


class Halves(callbacks.Callback):
    """Changes the learning rate, which a backup has to keep."""

    def on_epoch_end(self, epoch, logs=None):
        self.model.optimizer.learning_rate *= 0.5


def test_a_backup_of_all_epochs_leaves_nothing_to_do(data, tmp_path):
    model = made()
    call = callbacks.BackupAndRestore(tmp_path, delete_checkpoint=False)
    model.fit(*data, epochs=2, verbose=0, callbacks=[call])
    assert os.listdir(tmp_path) == ["latest.safetensors"]
    weights = model.get_weights()
    other = made(1)
    history = other.fit(*data, epochs=2, verbose=0, callbacks=[call])
    assert history.epoch == []
    assert same(other.get_weights(), weights)
    assert other.fit(*data, epochs=3, verbose=0, callbacks=[call]).epoch == [2]
    assert other.fit(*data, epochs=1, verbose=0).epoch == [0]  # without the callback, from the start


def test_batches_begin_their_epoch_again(data, tmp_path):
    model = made()
    call = callbacks.BackupAndRestore(tmp_path, save_freq=3)
    with pytest.raises(KeyboardInterrupt):
        model.fit(*data, batch_size=8, epochs=3, verbose=0, callbacks=[call, Dies(1)])
    other = made(1)
    assert other.fit(*data, batch_size=8, epochs=3, verbose=0, callbacks=[call]).epoch == [1, 2]


def test_backups_of_something_else(data, tmp_path):
    call = callbacks.BackupAndRestore(tmp_path, delete_checkpoint=False)
    made().fit(*data, epochs=2, verbose=0, callbacks=[call])
    model = made(optimizer="sgd")
    before = model.get_weights()
    with pytest.raises(ValueError, match=r"Adam.*SGD.*Delete"):
        model.fit(*data, epochs=3, verbose=0, callbacks=[call])
    other = fastnn.Sequential([layers.Input((4,)), layers.Dense(1)])
    other.compile("adam", "mse")
    with pytest.raises(ValueError, match="4 weights"):
        other.fit(*data, epochs=3, verbose=0, callbacks=[call])
    assert same(model.get_weights(), before)
    assert model.fit(*data, epochs=1, verbose=0).epoch == [0]
    model.save(tmp_path / "latest.safetensors")
    with pytest.raises(fastnn.FormatError, match="no backup"):
        model.fit(*data, epochs=3, verbose=0, callbacks=[call])
    (tmp_path / "latest.safetensors").write_bytes(b"cut off")
    with pytest.raises(fastnn.FormatError):
        model.fit(*data, epochs=3, verbose=0, callbacks=[call])
    with pytest.raises(ValueError, match="empty"):
        callbacks.BackupAndRestore("")


PROGRAM = """
import os, sys
import numpy as np
import fastnn
from fastnn import callbacks, layers

x = np.random.default_rng(0).normal(size=(64, 4)).astype("f4")
y = np.sin(x.sum(axis=1, keepdims=True))
model = fastnn.Sequential([layers.Input((4,)), layers.Dense(8, "tanh"), layers.Dropout(0.2), layers.Dense(1)])
model.compile("adam", "mse")
if sys.argv[2] == "first":
    fastnn.utils.set_random_seed(3)
    model.seed = 5

class Dies(callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        if epoch == int(sys.argv[3]):
            os.kill(os.getpid(), 9)

model.fit(x, y, epochs=12, verbose=0, callbacks=[callbacks.BackupAndRestore(sys.argv[1]), Dies()])
model.save_weights(sys.argv[1] + ".done")
"""


def test_after_a_crash(tmp_path):
    """The process is killed twice; the third run ends with the weights of one that was not."""

    def run(name, *arguments):
        return subprocess.run(
            [sys.executable, "-c", PROGRAM, str(tmp_path / name), *arguments],
            check=False,
            capture_output=True,
        ).returncode

    # weights are drawn before the seed is set, so the first run's are copied by its backup at once
    assert run("a", "first", "3") == -9
    backup = (tmp_path / "a" / "latest.safetensors").read_bytes()
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "latest.safetensors").write_bytes(backup)
    assert run("a", "next", "7") == -9
    assert run("a", "next", "99") == 0
    assert run("b", "next", "99") == 0
    assert not (tmp_path / "a" / "latest.safetensors").exists()
    assert (tmp_path / "a.done").read_bytes() == (tmp_path / "b.done").read_bytes()

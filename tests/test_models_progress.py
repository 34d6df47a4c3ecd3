"""What fit, evaluate and predict print."""

import os
import re
import sys

import numpy as np
import pytest
from support import mlp, run_python

import fastnn as keras

VALUE = r"-?\d+\.\d{4}(?:e[+-]\d\d)?"
NAMES = ("accuracy", "loss", "val_accuracy", "val_loss")
FOUR_VALUES = " - ".join(f"{name}: ({VALUE})" for name in NAMES)
TIME = r"\d+s"
STEP = r"\d+(?:s|ms|us)/step"


@pytest.fixture
def model():
    return mlp(
        4, (5, "relu"), (1, "sigmoid"), optimizer="sgd", loss="binary_crossentropy", metrics=["accuracy"]
    )


@pytest.fixture
def xy(rng):
    return rng.normal(size=(50, 4)).astype(np.float32), rng.integers(0, 2, 50).astype(np.float32)


def plain(text):
    """Without colours."""
    return re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text)


def test_silence(model, xy, capsys):
    model.fit(*xy, epochs=2, verbose=0)
    model.evaluate(*xy, verbose=0)
    model.predict(xy[0], verbose=0)
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_one_line_an_epoch(model, xy, capsys):
    history = model.fit(*xy, epochs=2, batch_size=16, validation_data=xy, verbose=2).history
    lines = capsys.readouterr().out.splitlines()
    assert lines[0::2] == ["Epoch 1/2", "Epoch 2/2"]
    pattern = rf"4/4 - {TIME} - {STEP} - {FOUR_VALUES}"
    for epoch, line in enumerate(lines[1::2]):
        found = re.fullmatch(pattern, line)
        assert found, line
        for text, name in zip(found.groups(), NAMES, strict=True):
            assert float(text) == pytest.approx(history[name][epoch], abs=6e-5)


def test_bars(model, xy, capsys):
    model.fit(*xy, epochs=2, batch_size=16, validation_data=xy, verbose=1)
    text = plain(capsys.readouterr().out)
    lines = [re.split(r"[\r\x08]+", line)[-1] for line in text.splitlines()]
    assert lines[0::2] == ["Epoch 1/2", "Epoch 2/2"]
    for line in lines[1::2]:
        assert re.fullmatch(rf"4/4 [━=]{{10,40}}\S* {TIME} {STEP} - {FOUR_VALUES}\s*", line), repr(line)


@pytest.mark.parametrize("verbose", ["auto", None])
def test_automatic_off_a_terminal_is_one_line_an_epoch(verbose, model, xy, capsys):
    arguments = {} if verbose is None else {"verbose": verbose}
    model.fit(*xy, epochs=3, batch_size=16, **arguments)
    text = capsys.readouterr().out
    assert "\r" not in text
    assert "\b" not in text
    assert "\x1b" not in text
    lines = [line for line in text.splitlines() if "loss:" in line]
    assert len(lines) == 3
    assert len(text.splitlines()) <= 6


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_automatic_on_a_terminal_is_a_bar():
    import pty
    import subprocess

    code = """
import numpy as np, fastnn
m = fastnn.Sequential([fastnn.layers.Dense(1, input_dim=2)]); m.compile("sgd", "mse")
m.fit(np.zeros((40, 2)), np.zeros(40), epochs=2, batch_size=10)
"""
    main, other = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=other,
        stderr=other,
        stdin=other,
        env={**os.environ, "TERM": "xterm"},
    )
    os.close(other)
    found = b""
    while True:
        try:
            piece = os.read(main, 65536)
        except OSError:
            break
        if not piece:
            break
        found += piece
    os.close(main)
    assert process.wait(60) == 0, found
    text = plain(found.decode())
    assert "Epoch 2/2" in text
    assert re.search(r"4/4 [━=]+", text)
    assert "\r" in text or "\b" in text


def test_a_long_fit_redraws_seldom(capsys):
    """At most every 0.05 s: 2000 steps of some microseconds each are a handful of drawings, not 2000."""
    model = mlp(2, (1, None), optimizer="sgd", loss="mse")
    model.fit(np.zeros((2000, 2)), np.zeros(2000), epochs=1, batch_size=1, verbose=1)
    assert plain(capsys.readouterr().out).count("loss") < 500


def test_evaluate_and_predict_print(model, xy, capsys):
    model.evaluate(*xy, verbose=2)
    assert re.fullmatch(
        rf"2/2 - {TIME} - {STEP} - accuracy: {VALUE} - loss: {VALUE}\n", plain(capsys.readouterr().out)
    )
    model.evaluate(*xy, verbose=1)
    text = plain(capsys.readouterr().out)
    assert re.search(rf"2/2 [━=]+ {TIME} {STEP} - accuracy: {VALUE} - loss: {VALUE}", text)
    model.predict(xy[0], verbose=1)
    assert re.search(rf"2/2 [━=]+ {TIME} {STEP}", plain(capsys.readouterr().out))


def test_epochs_are_numbered_from_the_initial_one(model, xy, capsys):
    model.fit(*xy, epochs=5, initial_epoch=3, verbose=2)
    assert capsys.readouterr().out.splitlines()[0::2] == ["Epoch 4/5", "Epoch 5/5"]


@pytest.mark.parametrize("verbose", [3, -1, "loud", 1.5])
def test_wrong_verbose(verbose, model, xy):
    with pytest.raises((ValueError, TypeError), match="verbose"):
        model.fit(*xy, epochs=1, verbose=verbose)


def test_an_output_that_cannot_show_the_bar():
    """An ASCII terminal or log gets something else, not an exception in the middle of training."""
    code = """
import numpy as np, fastnn
m = fastnn.Sequential([fastnn.layers.Dense(1, input_dim=2)]); m.compile("sgd", "mse")
m.fit(np.zeros((40, 2)), np.zeros(40), epochs=2, verbose=1); m.summary()
"""
    assert "Epoch 2/2" in run_python(code, PYTHONIOENCODING="ascii")


def test_a_closed_or_missing_output_does_not_stop_a_silent_fit():
    code = """
import sys, numpy as np, fastnn
keep, sys.stdout = sys.stdout, None
m = fastnn.Sequential([fastnn.layers.Dense(1, input_dim=2)]); m.compile("sgd", "mse")
m.fit(np.zeros((40, 2)), np.zeros(40), epochs=2, verbose=0)
m.fit(np.zeros((40, 2)), np.zeros(40), epochs=2)
sys.stdout = keep
print("through")
"""
    assert run_python(code).strip() == "through"


def test_interactive_logging_can_be_forced(model, xy, capsys):
    keras.config.enable_interactive_logging()
    try:
        model.fit(*xy, epochs=1, batch_size=16)
        assert re.search(r"4/4 [━=]+", plain(capsys.readouterr().out))
    finally:
        keras.config.disable_interactive_logging()

"""Optuna looks for a network, and ends trials early that fall behind: a callback reports each epoch.

``pip install optuna``, then: ``python examples/optuna_search.py``
"""

import optuna
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

import fastnn as keras

TRIALS = 40
EPOCHS = 60
FIRST_LOOK = 5  # epochs before a trial may be ended


class Pruning(keras.callbacks.Callback):
    """Reports the validation loss of each epoch, and ends the trial where Optuna says so."""

    def __init__(self, trial, monitor="val_loss"):
        super().__init__()
        self.trial, self.monitor = trial, monitor

    def on_epoch_end(self, epoch, logs=None):
        self.trial.report(logs[self.monitor], epoch)
        if self.trial.should_prune():
            raise optuna.TrialPruned(
                f"behind after epoch {epoch + 1}: {self.monitor} {logs[self.monitor]:.3f}"
            )


def load():
    """Scaled rows to train on, to choose by, and to test with."""
    x, y = load_breast_cancer(return_X_y=True)
    x, x_test, y, y_test = train_test_split(x, y, test_size=0.25, stratify=y, random_state=0)
    x, x_val, y, y_val = train_test_split(x, y, test_size=0.25, stratify=y, random_state=0)
    scaler = StandardScaler().fit(x)
    return [(scaler.transform(rows), targets) for rows, targets in ((x, y), (x_val, y_val), (x_test, y_test))]


def build(trial, inputs):
    """A network of one to three layers, as the trial suggests."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input(shape=(inputs,))])
    activation = trial.suggest_categorical("activation", ["relu", "tanh"])
    for i in range(trial.suggest_int("layers", 1, 3)):
        units = trial.suggest_int(f"units_{i}", 4, 64, log=True)
        model.add(keras.layers.Dense(units, activation=activation))
        model.add(keras.layers.Dropout(trial.suggest_float(f"dropout_{i}", 0.0, 0.5)))
    model.add(keras.layers.Dense(1, activation="sigmoid"))
    rate = trial.suggest_float("learning_rate", 1e-4, 1e-1, log=True)
    model.compile(keras.optimizers.Adam(rate), loss="binary_crossentropy", metrics=["accuracy"])
    return model


def objective(trial, train, validation):
    """The least validation loss of a trial that is not ended early."""
    model = build(trial, train[0].shape[1])
    history = model.fit(
        *train,
        batch_size=trial.suggest_categorical("batch_size", [16, 32, 64]),
        epochs=EPOCHS,
        validation_data=validation,
        callbacks=[Pruning(trial)],
        verbose=0,
    )
    return min(history.history["val_loss"])


def search(trials=TRIALS, seed=0):
    """A study that has run so many trials."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    train, validation, _ = load()
    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=seed),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=FIRST_LOOK),
    )
    study.optimize(lambda trial: objective(trial, train, validation), n_trials=trials)
    return study


def main():
    study = search()
    ended = sum(trial.state == optuna.trial.TrialState.PRUNED for trial in study.trials)
    print(f"{len(study.trials)} trials, {ended} of them ended early")
    print(f"least validation loss {study.best_value:.4f}, with")
    for name, value in study.best_params.items():
        print(f"  {name}: {value:.4g}" if isinstance(value, float) else f"  {name}: {value}")

    train, validation, test = load()
    model = build(study.best_trial, train[0].shape[1])
    model.fit(
        *train,
        batch_size=study.best_params["batch_size"],
        epochs=EPOCHS,
        validation_data=validation,
        callbacks=[keras.callbacks.EarlyStopping(patience=10, restore_best_weights=True)],
        verbose=0,
    )
    print(f"accuracy on rows never seen: {model.evaluate(*test, verbose=0)[1]:.3f}")


if __name__ == "__main__":
    main()

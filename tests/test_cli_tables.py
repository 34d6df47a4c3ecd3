"""The command line with tables and models: train, predict, info, convert; and what users do wrong."""

import csv
import re

import numpy as np
import pytest

import fastnn
from fastnn._tabular.held_out import packed, unpacked
from fastnn.cli import main
from fastnn.models import load_model

QUICK = ["--epochs", "30", "--no-plot"]


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run(*arguments):
    return main([str(a) for a in arguments])


def fails(capsys, *arguments):
    """Run what must fail; return the sentence on standard error."""
    assert run(*arguments) == 1
    said = capsys.readouterr()
    assert said.err.startswith("fastnn: error: ")
    assert said.err.count("\n") == 1
    assert "Traceback" not in said.err
    return said.err


def table(path, header, rows, delimiter=","):
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerows([header, *rows])


def flowers(path="flowers.csv", rows=60, **options):
    rng = np.random.default_rng(0)
    kinds = rng.integers(0, 3, rows)
    x = rng.normal(size=(rows, 2)) + kinds[:, None] * 3
    named = [["rose", "tulip", "lily of the valley"][k] for k in kinds]
    table(path, ["length", "width", "kind"], [[*r, k] for r, k in zip(x, named, strict=True)], **options)
    return x, named


def line(path="line.csv", rows=80):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(rows, 3))
    y = 1000 + 50 * x[:, 0]
    table(path, ["a", "b", "c", "y"], np.column_stack([x, y]))
    return x, y


def read(path):
    with open(path, encoding="utf-8") as file:
        return list(csv.reader(file))


# ---- real tables ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["iris", "breast_cancer", "diabetes"])
@pytest.mark.parametrize("seed", [0, 1])
def test_real_tables_beat_the_baseline_and_scores_can_be_had_again(name, seed, capsys):
    datasets = pytest.importorskip("sklearn.datasets")
    found = getattr(datasets, f"load_{name}")(as_frame=True)
    frame = found.frame
    if name == "iris":
        frame["target"] = found.target_names[frame["target"]]
    frame.to_csv("data.csv", index=False)
    arguments = ["--target", "target", "--layers", "64,64", "--seed", seed]
    assert run("train", "data.csv", *arguments, "-o", "model.safetensors") == 0
    out = capsys.readouterr().out
    scores = re.findall(r"^(accuracy|RMSE|MAE)\s+([\d.]+)\s+([\d.]+)$", out, re.MULTILINE)
    assert scores
    for score, model, baseline in scores:
        better = (
            float(model) > float(baseline) + 0.2
            if score == "accuracy"
            else float(model) < 0.9 * float(baseline)
        )
        assert better, (score, model, baseline)
    assert run("predict", "model.safetensors", "data.csv", "-o", "out.csv") == 0
    again = capsys.readouterr().out.splitlines()[-1]
    assert again.startswith("test, ")
    for score, model, _ in scores:
        assert f"{score} {model}" in again


# ---- train ---------------------------------------------------------------------------------------


def test_text_targets_become_classes(capsys):
    flowers()
    assert run("train", "flowers.csv", "--target", "kind", "--learning-rate", "0.02", "-o", "m", *QUICK) == 0
    out = capsys.readouterr().out
    assert "60 rows, 2 features; target 'kind': 3 classes (lily of the valley, rose, tulip)" in out
    model = load_model("m")
    assert model.metadata["classes"] == ["lily of the valley", "rose", "tulip"]
    assert model.column_names == ["length", "width"]
    assert [type(layer).__name__ for layer in model.layers] == ["Normalization", *["Dense"] * 3]
    assert len(unpacked(model.metadata["test"]["rows"], 60)) == 12
    assert model.metadata["scores"]["accuracy"] > model.metadata["baseline"]["accuracy"]


@pytest.mark.parametrize("count", [1, 7, 8, 9, 1000])
def test_rows_held_out_are_remembered(count):
    rows = np.flatnonzero(np.random.default_rng(count).random(count) < 0.3)
    np.testing.assert_array_equal(unpacked(packed(rows, count), count), rows)


def test_a_large_table_leaves_a_small_file():
    """A million rows: the file has a bit for each, which does not make it one that cannot be loaded."""
    model = fastnn.Sequential([fastnn.layers.Input((2,)), fastnn.layers.Dense(1)])
    model.metadata = {"rows": packed(np.arange(0, 10**6, 5), 10**6)}
    model.save("m")
    assert len(unpacked(load_model("m").metadata["rows"], 10**6)) == 200_000


def test_numbers_are_learned_in_their_own_units(capsys):
    _, y = line()
    assert run("train", "line.csv", "--target", "y", "-o", "m", "--epochs", "300", "--no-plot") == 0
    model = load_model("m")
    assert model.metadata["scores"]["RMSE"] < 0.3 * model.metadata["baseline"]["RMSE"]
    assert run("predict", "m", "line.csv", "-o", "p.csv") == 0
    header, *rows = read("p.csv")
    assert header == ["y"]
    assert np.abs(np.array(rows, float)[:, 0] - y).mean() < 20


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        ([0, 1] * 30, ["0", "1"]),
        ([0.0, 1.0] * 30, ["0", "1"]),
        ([2, 10, 9] * 20, ["2", "9", "10"]),
        ([*range(60)], None),
        ([0.5, 1.5] * 30, None),
        (["yes", "no"] * 30, ["no", "yes"]),
        (["1", "x"] * 30, ["1", "x"]),
    ],
)
def test_which_targets_are_classes(values, classes):
    rng = np.random.default_rng(0)
    table("t.csv", ["x", "y"], [[rng.normal(), v] for v in values])
    assert run("train", "t.csv", "--target", "y", "--layers", "", "-o", "m", "--epochs", 2, "--no-plot") == 0
    assert load_model("m").metadata["classes"] == classes


def test_the_task_can_be_said(capsys):
    table("t.csv", ["x", "y"], [[i, i % 2] for i in range(40)])
    assert run("train", "t.csv", "--target", "y", "--task", "regression", "-o", "m", *QUICK) == 0
    assert load_model("m").metadata["task"] == "regression"
    table("t.csv", ["x", "y"], [[i, i // 2 * 1.5] for i in range(40)])
    assert run("train", "t.csv", "--target", "y", "--task", "classification", "-o", "m", *QUICK) == 0
    assert len(load_model("m").metadata["classes"]) == 20


def test_the_same_seed_gives_the_same_file():
    flowers()
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        run("train", "flowers.csv", "--target", "kind", "--seed", seed, "-o", name, *QUICK, "--quiet")
    weights = [load_model(name).get_weights() for name in "abc"]
    assert all((p == q).all() for p, q in zip(weights[0], weights[1], strict=True))
    assert any((p != q).any() for p, q in zip(weights[0], weights[2], strict=True))


def test_a_picture_of_the_learning(capsys):
    pytest.importorskip("matplotlib")
    flowers()
    assert run("train", "flowers.csv", "--target", "kind", "-o", "m.safetensors", "--epochs", 5) == 0
    assert "learning curve: m.png" in capsys.readouterr().out
    with open("m.png", "rb") as file:
        assert file.read(8) == b"\x89PNG\r\n\x1a\n"


def test_quiet_says_nothing(capsys):
    flowers()
    assert run("train", "flowers.csv", "--target", "kind", "-o", "m", "--quiet", *QUICK) == 0
    assert capsys.readouterr() == ("", "")


def test_delimiters_quotes_marks_and_blank_lines(capsys):
    for delimiter in ";\t":
        flowers(delimiter=delimiter)
        assert run("train", "flowers.csv", "--target", "kind", "-o", "m", *QUICK) == 0
    text = '\ufeff"a, b","c\nd",y\n\n1,2,0\n"3",4,1\n' + "5,6,0\n7,8,1\n" * 10 + "\n"
    with open("odd.csv", "w", encoding="utf-8", newline="") as file:
        file.write(text.replace("\n", "\r\n"))
    assert run("train", "odd.csv", "--target", "y", "-o", "m", *QUICK) == 0
    assert load_model("m").column_names[0] == "a, b"


def test_dropped_columns():
    x, _ = line()
    rows = [[f"name {i}", *r, i % 2] for i, r in enumerate(x)]
    table("t.csv", ["id", "a", "b", "c", "y"], rows)
    assert run("train", "t.csv", "--target", "y", "--drop", "id, b", "-o", "m", *QUICK) == 0
    assert load_model("m").column_names == ["a", "c"]


# ---- what users do wrong -------------------------------------------------------------------------

GOOD = [[i, i * 2, i % 2] for i in range(30)]


def broken(row, column, value):
    rows = [list(r) for r in GOOD]
    rows[row][column] = value
    return rows


WRONG = {
    "missing": (broken(4, 1, ""), ["line 6", "'b'", "missing", "--drop"]),
    "NA": (broken(0, 0, "NA"), ["line 2", "'a'", "missing"]),
    "nan": (broken(0, 0, "nan"), ["line 2", "'a'", "missing"]),
    "text": (broken(29, 0, "Paris"), ["line 31", "'a'", "'Paris'", "not a number", "get_dummies"]),
    "infinite": (broken(3, 1, "inf"), ["line 5", "'b'", "not finite"]),
    "missing target": (broken(3, 2, ""), ["line 5", "'y'", "target is missing"]),
    "more cells": ([*GOOD, [1, 2, 3, 4]], ["line 32", "4 cells", "3 columns"]),
    "one value": ([[i, i, 1] for i in range(30)], ["'y'", "one value '1'"]),
    "no rows": ([], ["no rows"]),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_tables(name, capsys):
    rows, words = WRONG[name]
    table("t.csv", ["a", "b", "y"], rows)
    said = fails(capsys, "train", "t.csv", "--target", "y", "--task", "classification", "-o", "m", *QUICK)
    assert all(word in said for word in ["t.csv", *words]), said


def test_wrong_first_lines(capsys):
    for names, words in (
        (["1", "2", "3"], ["line 1", "must name the columns"]),
        (["a", "", "y"], ["line 1", "column 2 has no name"]),
        (["a", "a", "y"], ["line 1", "'a'", "twice"]),
    ):
        table("t.csv", names, GOOD)
        said = fails(capsys, "train", "t.csv", "--target", "y", "-o", "m")
        assert all(word in said for word in words), said
    table("t.csv", ["a", "b", "y"], GOOD)
    said = fails(capsys, "train", "t.csv", "--target", "z", "-o", "m")
    assert "no column 'z'; there are: a, b, y" in said
    said = fails(capsys, "train", "t.csv", "--target", "y", "--drop", "a,b", "-o", "m")
    assert "no column is left" in said
    with open("t.csv", "wb") as file:
        file.write(b"a,y\n1,\xff\n")
    assert "line 2: this is not UTF-8" in fails(capsys, "train", "t.csv", "--target", "y", "-o", "m")
    with open("t.csv", "wb") as file:
        file.write(b'a,y\n"1,2\n3,4\n')
    assert "not CSV" in fails(capsys, "train", "t.csv", "--target", "y", "-o", "m")
    open("t.csv", "w").close()
    assert "empty" in fails(capsys, "train", "t.csv", "--target", "y", "-o", "m")
    assert "No such file" in fails(capsys, "train", "nothing.csv", "--target", "y", "-o", "m")


def test_wrong_options(capsys):
    table("t.csv", ["a", "b", "y"], GOOD)
    for option, value in (
        ("--layers", "64,zero"),
        ("--layers", "64,0"),
        ("--epochs", "0"),
        ("--test", "1"),
        ("--validation", "0"),
        ("--learning-rate", "-1"),
        ("--task", "clustering"),
    ):
        assert run("train", "t.csv", "--target", "y", "-o", "m", option, value) == 2
        assert option in capsys.readouterr().err
    assert run("train", "t.csv") == 2
    assert "--target" in capsys.readouterr().err
    said = fails(capsys, "train", "t.csv", "--target", "y", "-o", "m", "--activation", "rulu")
    assert "'rulu'" in said
    assert "relu" in said
    for option, what in (("--test", "judge"), ("--validation", "stop by")):
        said = fails(capsys, "train", "t.csv", "--target", "y", "-o", "m", option, "0.001")
        assert "30 rows are too few: with" in said
        assert f"none is left to {what}" in said
    said = fails(capsys, "train", "t.csv", "--target", "y", "-o", "no/folder/m", *QUICK)
    assert "No such file" in said


# ---- predict -------------------------------------------------------------------------------------


def test_predictions_of_classes(capsys):
    flowers()
    run("train", "flowers.csv", "--target", "kind", "-o", "m", *QUICK)
    capsys.readouterr()
    assert run("predict", "m", "flowers.csv") == 0
    header, *rows = csv.reader(capsys.readouterr().out.splitlines())
    assert header == [
        "kind",
        "probability of lily of the valley",
        "probability of rose",
        "probability of tulip",
    ]
    outputs = np.array([row[1:] for row in rows], float)
    np.testing.assert_allclose(outputs.sum(axis=1), 1, rtol=1e-5)
    assert [row[0] for row in rows] == [
        load_model("m").metadata["classes"][i] for i in outputs.argmax(axis=1)
    ]


def test_columns_are_found_by_name(capsys):
    x, _ = flowers()
    run("train", "flowers.csv", "--target", "kind", "-o", "m", *QUICK)
    run("predict", "m", "flowers.csv", "-o", "all.csv")
    table("other.csv", ["width", "id", "length"], [[w, "some text", v] for v, w in x])
    capsys.readouterr()
    assert run("predict", "m", "other.csv", "-o", "other_out.csv") == 0
    assert read("other_out.csv") == read("all.csv")
    assert capsys.readouterr().out == "60 predictions: other_out.csv\n"  # no target, no scores
    np.save("rows.npy", x)
    assert run("predict", "m", "rows.npy", "-o", "out.npy") == 0
    np.testing.assert_array_equal(np.load("out.npy"), load_model("m").predict(x.astype("f4")))
    table("lacks.csv", ["length", "id"], [[1, 2]])
    assert "lacks 1 of the 2 columns that the model takes: width" in fails(
        capsys, "predict", "m", "lacks.csv"
    )
    np.save("wide.npy", np.ones((2, 3)))
    assert "3 columns, but the model takes 2: length, width" in fails(capsys, "predict", "m", "wide.npy")


def test_two_classes_have_two_probabilities():
    table("t.csv", ["a", "y"], [[i, "no" if i < 20 else "yes"] for i in range(40)])
    run("train", "t.csv", "--target", "y", "-o", "m", "--no-plot", "--epochs", 200)
    run("predict", "m", "t.csv", "-o", "p.csv")
    header, *rows = read("p.csv")
    assert header == ["y", "probability of no", "probability of yes"]
    assert sum(row[0] == ("no" if i < 20 else "yes") for i, row in enumerate(rows)) > 35


def test_scores_of_another_table_and_of_unknown_classes(capsys):
    flowers()
    run("train", "flowers.csv", "--target", "kind", "-o", "m", *QUICK)
    flowers("more.csv", rows=90)
    capsys.readouterr()
    run("predict", "m", "more.csv", "-o", "p.csv")
    out = capsys.readouterr().out
    assert "all 90 rows: accuracy" in out
    assert "test," not in out
    table("odd.csv", ["length", "width", "kind"], [[1, 2, "rose"], [1, 2, "oak"]])
    said = fails(capsys, "predict", "m", "odd.csv", "-o", "p.csv")
    assert "line 3" in said
    assert "'oak'" in said


def test_models_made_in_python(capsys):
    model = fastnn.Sequential([fastnn.layers.Input((2,)), fastnn.layers.Dense(3)])
    model.save("m")
    table("t.csv", ["p", "q"], [[1, 2], [3, 4]])
    assert run("predict", "m", "t.csv") == 0
    header, *rows = csv.reader(capsys.readouterr().out.splitlines())
    assert header == ["output_0", "output_1", "output_2"]
    np.testing.assert_array_equal(np.array(rows, "f4"), model.predict(np.array([[1, 2], [3, 4]], "f4")))


def test_wrong_arrays_and_models(capsys):
    fastnn.Sequential([fastnn.layers.Input((2,)), fastnn.layers.Dense(3)]).save("m")
    np.save("flat.npy", np.ones(3))
    assert "(rows, columns)" in fails(capsys, "predict", "m", "flat.npy")
    np.save("nan.npy", np.array([[1, np.nan]]))
    assert "row 0, column 1" in fails(capsys, "predict", "m", "nan.npy")
    np.save("objects.npy", np.array([[1, "a"]], dtype=object), allow_pickle=True)
    assert "objects.npy" in fails(capsys, "predict", "m", "objects.npy")
    with open("cut.npy", "wb") as file:
        file.write(b"\x93NUMPY")
    assert "cut.npy" in fails(capsys, "predict", "m", "cut.npy")
    with open("bad", "wb") as file:
        file.write(b"nonsense")
    assert "bad: " in fails(capsys, "predict", "bad", "flat.npy")
    assert "No such file" in fails(capsys, "predict", "nothing", "flat.npy")


# ---- info and convert ----------------------------------------------------------------------------


def test_info_of_a_model(capsys):
    flowers()
    run("train", "flowers.csv", "--target", "kind", "--layers", "8,7", "-o", "m", *QUICK)
    capsys.readouterr()
    assert run("info", "m") == 0
    out = capsys.readouterr().out
    for words in ("(None, 8)", "Total params", "2: length, width", "lily of the valley, rose, tulip"):
        assert words in out
    assert re.search(r"trained +30 epochs", out)
    assert re.search(r"test accuracy +[\d.]+ \(baseline [\d.]+\)", out)
    assert re.search(r"val_loss +[\d.e-]+ -> ", out)
    fastnn.Sequential([fastnn.layers.Dense(3)]).save("unbuilt")
    assert run("info", "unbuilt") == 0
    out = capsys.readouterr().out
    assert "not known yet" in out
    assert "no history" in out
    with open("bad", "wb") as file:
        file.write(b"nonsense")
    assert "bad: " in fails(capsys, "info", "bad")


def test_conversions(capsys):
    pytest.importorskip("onnx")
    flowers()
    run("train", "flowers.csv", "--target", "kind", "-o", "m.safetensors", *QUICK)
    x = np.random.default_rng(0).normal(size=(5, 2)).astype("f4")
    want = load_model("m.safetensors").predict(x)
    assert run("convert", "m.safetensors", "m.onnx") == 0
    assert run("convert", "m.onnx", "back.safetensors") == 0
    np.testing.assert_allclose(load_model("back.safetensors").predict(x), want, rtol=1e-5, atol=1e-6)
    assert run("convert", "m.safetensors", "m.c") == 0
    with open("m.h") as file:
        assert "predict" in file.read()
    capsys.readouterr()
    assert "no format has this ending" in fails(capsys, "convert", "m.safetensors", "m.txt")
    with open("m.pt", "wb") as file:
        file.write(b"\x80")
    assert "execute anything" in fails(capsys, "convert", "m.pt", "m.onnx")
    with open("bad.onnx", "wb") as file:
        file.write(b"nonsense")
    assert "bad.onnx" in fails(capsys, "convert", "bad.onnx", "m.c")


def test_keras_files(capsys):
    keras = pytest.importorskip("keras")
    fastnn.Sequential([fastnn.layers.Input((2,)), fastnn.layers.Dense(3, "relu")]).save("m.safetensors")
    assert run("convert", "m.safetensors", "m.keras") == 0
    assert run("convert", "m.keras", "back.safetensors") == 0
    x = np.ones((3, 2), "f4")
    want = load_model("m.safetensors").predict(x)
    np.testing.assert_array_equal(load_model("back.safetensors").predict(x), want)
    np.testing.assert_allclose(np.asarray(keras.models.load_model("m.keras")(x)), want, rtol=1e-6)
    load_model("m.safetensors").save("ours.keras")  # fastnn's content under Keras's ending
    assert run("convert", "ours.keras", "again.safetensors") == 0

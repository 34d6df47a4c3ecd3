"""docs/keras.md says of every public name of Keras's what is true."""

import re

import keras_table
import pytest

import fastnn
from fastnn import vocabulary

SECTIONS = keras_table.keras_names()
PAGE = keras_table.PAGE
needs_docs = pytest.mark.skipif(not PAGE.exists(), reason="needs the checkout")


def listed():
    """{section: {name: label}} as the page has it."""
    found, section = {}, None
    for line in PAGE.read_text().splitlines():
        if line.startswith("## "):
            section = keras_table.METHODS if line.startswith("## Models' ") else line[3:].strip("`")
        elif match := re.match(r"\| \*\*(done|refused|later)\*\*(.*?) \| (`.*`) \|$", line):
            for name in re.findall(r"`(\w+)`", match[3]):
                names = found.setdefault(section, {})
                assert name not in names, f"{section}.{name} is listed twice"
                names[name] = match[1]
    return found


@needs_docs
def test_the_page_is_up_to_date():
    assert PAGE.read_text() == keras_table.render(), "run: python tests/keras_table.py"


@needs_docs
@pytest.mark.parametrize("section", SECTIONS)
def test_every_name_is_listed(section):
    assert sorted(listed()[section]) == sorted(SECTIONS[section])


@needs_docs
@pytest.mark.parametrize("section", SECTIONS)
def test_what_is_done_exists(section):
    place = keras_table.place_of(section)
    for name, status in listed()[section].items():
        if status == "done" and section != keras_table.METHODS:
            getattr(place, name)


@pytest.mark.parametrize("module", vocabulary.REFUSED)
@pytest.mark.parametrize("table", ["REFUSED", "LATER"])
def test_what_is_refused_says_why(table, module):
    place = keras_table.place_of(module or "keras")
    for why, names in getattr(vocabulary, table).get(module, {}).items():
        for name in names.split():
            if table == "LATER" and _exists(place, name):
                continue  # somebody made it: take it off the list some time
            with pytest.raises((AttributeError, NotImplementedError), match=re.escape(why)):
                getattr(place, name)()


def _exists(place, name):
    found = getattr(place, name, None)
    return found is not None and not (found.__doc__ or "").startswith(f"callbacks.{name} is not")


@pytest.mark.parametrize("module", sorted({*vocabulary.REFUSED, *vocabulary.LATER}))
def test_reasons_are_given_for_names_that_keras_has(module):
    known = set(SECTIONS[module or "keras"])
    for table in (vocabulary.REFUSED, vocabulary.LATER):
        for names in table.get(module, {}).values():
            assert set(names.split()) <= known


def test_a_name_that_nobody_knows_gets_no_reason():
    with pytest.raises(AttributeError, match=r"module 'fastnn.layers' has no attribute 'Dens'$"):
        _ = fastnn.layers.Dens
    assert not hasattr(fastnn, "no_such_thing")


def test_the_list_is_keras_own():
    pytest.importorskip("keras")
    assert keras_table.installed_names() == SECTIONS, "run: python tests/keras_table.py --names"

"""A secret's text leaves it by `reveal` only."""

from __future__ import annotations

import copy
import json
import pickle
import traceback

import msgspec
import pytest

from tapekeeper.model.secret import Secret

TEXT = "test-key-not-a-secret"


def test_reveal_gives_the_text() -> None:
    """The one way to the text gives all of it."""
    assert Secret(TEXT).reveal() == TEXT


@pytest.mark.parametrize(
    "shown",
    [
        repr(Secret(TEXT)),
        str(Secret(TEXT)),
        f"{Secret(TEXT)}",
        f"{Secret(TEXT)!r}",
        "%s" % Secret(TEXT),  # noqa: UP031 - old formatting is one of the ways out
        repr({"key": [Secret(TEXT)]}),
        repr(ValueError(Secret(TEXT))),
    ],
)
def test_no_formatting_shows_the_text(shown: str) -> None:
    """Whatever way a value is turned to text, alone or inside another, shows a placeholder."""
    assert TEXT not in shown
    assert "hidden" in shown


def test_a_format_specification_is_refused() -> None:
    """A width or precision could cut pieces out of the text, so none is accepted."""
    with pytest.raises(TypeError):
        format(Secret(TEXT), ">40")


def test_a_traceback_with_locals_does_not_show_the_text() -> None:
    """A crash report that prints local variables prints the placeholder."""

    def fail(key: Secret) -> None:
        raise ValueError(f"refused {key}")

    try:
        fail(Secret(TEXT))
    except ValueError as error:
        report = traceback.TracebackException.from_exception(error, capture_locals=True)
    locals_of_fail = [frame for frame in report.stack if frame.name == "fail"]
    assert locals_of_fail[0].locals == {"key": "Secret(hidden)"}


def test_pickling_and_copying_are_refused() -> None:
    """The text must not reach a file or another process behind the owner's back."""
    for copier in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="not pickled"):
            copier(Secret(TEXT))


def test_encoders_refuse_it() -> None:
    """A JSON encoder, ours or the standard one, does not know how to write it."""
    with pytest.raises(TypeError):
        json.dumps(Secret(TEXT))
    with pytest.raises(TypeError):
        msgspec.json.encode(Secret(TEXT))


def test_equality_is_of_the_texts() -> None:
    """Two secrets of the same text are equal and hash alike; a secret never equals its text."""
    assert Secret(TEXT) == Secret(TEXT)
    assert hash(Secret(TEXT)) == hash(Secret(TEXT))
    assert Secret(TEXT) != Secret("test-key-of-another")
    assert Secret(TEXT) != TEXT
    assert hash(Secret(TEXT)) != hash(TEXT)


def test_only_an_empty_secret_is_false() -> None:
    """An empty text means that none was given."""
    assert Secret(TEXT)
    assert not Secret("")


def test_nothing_can_be_attached_to_it() -> None:
    """A secret has no dictionary in which its text could lie a second time."""
    with pytest.raises(AttributeError):
        Secret(TEXT).text = TEXT  # type: ignore[attr-defined]  # the refusal is the point

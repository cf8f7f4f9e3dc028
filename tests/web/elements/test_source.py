"""The texts that the page is made of are read in their own encoding."""

from tests.support.watching import output_of

PROGRAM = """
import web.elements.camera, web.elements.drop, web.elements.timeline
from fer_model.networks.cards import limits_of
from fer_model.networks.manifest import read_models
print(len(limits_of({"model": each.name, "sha256": each.sha256} for each in read_models().files)) > 1)
"""


def test_texts_are_read_as_utf8_whatever_the_locale() -> None:
    # OpenVINO sets the locale C while it compiles a network, and a text without an encoding is then read as ASCII.
    assert output_of(PROGRAM, LC_ALL="C", PYTHONCOERCECLOCALE="0", PYTHONUTF8="0") == "True"

"""Each law of `jensen.laws` fails on the bugs that stand beside it, whatever else is right about them."""

import pytest

from jensen import laws
from jensen.laws._check import _fault
from jensen.laws._law import LAWS

PLANTS = [(law, i) for law in LAWS for i in range(len(law.planted()))]


def test_every_law_has_a_planted_bug_a_statement_and_a_name_of_its_own():
    assert {law.name for law in LAWS if not law.planted()} == set()
    assert {law.name for law in LAWS if not law.statement} == set()
    names = [law.name for law in LAWS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(("law", "i"), PLANTS, ids=[f"{law.name} {i}" for law, i in PLANTS])
def test_the_law_catches(law, i):
    planted = law.planted()[i]
    subject = planted if isinstance(planted, laws.Subject) else laws.Subject(planted)
    assert _fault(law, subject, {}, 200) is not None

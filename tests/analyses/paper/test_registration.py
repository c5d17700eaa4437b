from __future__ import annotations

import datetime as dt
import hashlib

import pytest
from pydantic import ValidationError

from analyses.paper.claims.registration import FILE, HIGHEST, read, registered
from segcam.methods import METHODS
from segcam.metrics import METRICS

SMALL = """
name = "small"
date = 2026-01-02
seen = "Nothing."
seeds = [5]
[rule]
confidence = 0.9
images = 2
seeds = 1
agreement = 0.5
controls = ["random"]
[measures.gain]
metric = "energy_gain"
smallest = 0.1
reason = "A tenth."
[claims.K1]
sentence = "It rises."
seeds = 4
[[claims.K1.parts]]
says = "at {each} %"
each = ["30", "90"]
measure = "gain"
compare = "value"
side = 1
groups = [{ model = "unet", layers = ["Encoder 1_2"], levels = ["{each}"] }]
[specifications]
methods = ["grad_cam"]
[specifications.measures]
"""


def test_the_claims_are_registered_whole():
    registration = registered()
    assert [claim.id for claim in registration.claims] == [*(f"C{i}" for i in range(1, 9)), "H1", "H2", "D1"]
    assert registration.sha256 == hashlib.sha256(FILE.read_bytes()).hexdigest()
    assert registration.date >= dt.date(2026, 11, 29)
    assert not {0, 1, 2} & set(registration.seeds), "scores of these were seen"
    says = [part.says for claim in registration.claims for part in claim.parts]
    assert len(set(says)) == len(says)
    assert all(len(measure.reason.split()) > 5 for measure in registration.measures.values())
    assert max(claim.seeds for claim in registration.claims) <= len(registration.seeds)


def test_what_is_registered_can_be_measured():
    registration = registered()
    alternatives = [one for few in registration.specifications.measures.values() for one in few]
    wanted = {one.metric for one in (*registration.measures.values(), *alternatives) if not one.table}
    assert wanted <= set(METRICS.names())
    methods = {*registration.specifications.methods, *registration.rule.controls}
    methods |= {one.to for one in (*registration.measures.values(), *alternatives) if one.to and not one.table}
    assert methods <= set(METHODS.names())


def test_one_part_stands_for_several():
    claim = read(SMALL).claims[0]
    assert [part.says for part in claim.parts] == ["at 30 %", "at 90 %"]
    assert [part.groups[0].levels for part in claim.parts] == [(30,), (90,)]
    assert read(SMALL.replace('levels = ["{each}"]', 'levels = ["highest"]')).claims[0].parts[0].groups[0].levels == (
        HIGHEST,
    )


def test_what_is_claimed_by_others_names_them():
    assert {claim.id[0]: claim.source for claim in registered().claims} == {
        "C": "",
        "H": "Hammoud et al., arXiv 2510.24414",
        "D": "Sakib et al., arXiv 2603.22624",
    }


@pytest.mark.parametrize("key", ["rows", "ranked_with"])
def test_rows_are_of_a_table(key):
    with pytest.raises(ValidationError, match="choose rows of a 'table'"):
        read(SMALL.replace('metric = "energy_gain"', f'metric = "energy_gain"\n{key} = {{ measure = "deletion" }}'))


def test_what_is_ranked_names_its_methods():
    ranked = 'metric = "value"\ntable = "faithfulness"\nranked_with = { measure = "deletion" }'
    with pytest.raises(ValidationError, match="over which methods"):
        read(SMALL.replace('metric = "energy_gain"', ranked))


def test_the_hash_is_of_every_letter():
    assert read(SMALL).sha256 != read(SMALL + " ").sha256


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("side = 1", "side = 2", "side"),
        ("side = 1", "side = 1\nsmallest = 2", "smallest"),
        ('measure = "gain"', 'measure = "loss"', "measures loss are not described: known are gain"),
        ('compare = "value"', 'compare = "difference"', "'difference' does not go with 1 groups"),
        ('compare = "value"', 'compare = "value"\nfactors = [0.5]', "sizes belong to 'change' and 'least'"),
        ("smallest = 0.1", "smallest = 0.0", "greater than 0"),
        ('reason = "A tenth."', 'reason = "A tenth."\nrelative = "ratio"', "'relative' and 'to' belong together"),
        ('reason = "A tenth."', 'reason = ""', "reason"),
    ],
)
def test_what_does_not_fit_is_refused(old, new, words):
    with pytest.raises(ValidationError, match=words):
        read(SMALL.replace(old, new))

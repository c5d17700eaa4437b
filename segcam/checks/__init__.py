"""Can a map be trusted: faithfulness, sanity, blank maps; whose pixels it shows, how far off, and where it errs.

print(diagnose(probe, images, Target(class_id=1)))
print(leakage(probe, batch).matrix("encoder.4"))
"""

from segcam.checks.confidence import Certainty, certainty
from segcam.checks.diagnosis import Diagnosis, diagnose
from segcam.checks.distance import ByDistance, by_distance
from segcam.checks.leakage import Leakage, leakage
from segcam.checks.mistakes import mistakes
from segcam.checks.removal import score_changes
from segcam.checks.sanity import cascading, execution_order, independent, randomised

__all__ = [
    "ByDistance",
    "Certainty",
    "Diagnosis",
    "Leakage",
    "by_distance",
    "cascading",
    "certainty",
    "diagnose",
    "execution_order",
    "independent",
    "leakage",
    "mistakes",
    "randomised",
    "score_changes",
]

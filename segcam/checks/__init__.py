"""Can a map be trusted: faithfulness, sanity and the diagnosis of blank maps; whose pixels it shows, and how far off.

print(diagnose(probe, images, Target(class_id=1)))
print(leakage(probe, batch).matrix("encoder.4"))
"""

from segcam.checks.diagnosis import Diagnosis, diagnose
from segcam.checks.distance import ByDistance, by_distance
from segcam.checks.leakage import Leakage, leakage
from segcam.checks.removal import score_changes
from segcam.checks.sanity import cascading, execution_order, independent, randomised

__all__ = [
    "ByDistance",
    "Diagnosis",
    "Leakage",
    "by_distance",
    "cascading",
    "diagnose",
    "execution_order",
    "independent",
    "leakage",
    "randomised",
    "score_changes",
]

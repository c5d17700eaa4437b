"""Can a map be trusted: faithfulness, sanity and the diagnosis of blank maps; how sure the network is.

print(diagnose(probe, images, Target(class_id=1)))
"""

from segcam.checks.confidence import Certainty, certainty
from segcam.checks.diagnosis import Diagnosis, diagnose
from segcam.checks.mistakes import mistakes
from segcam.checks.sanity import cascading, execution_order, independent, randomised

__all__ = [
    "Certainty",
    "Diagnosis",
    "cascading",
    "certainty",
    "diagnose",
    "execution_order",
    "independent",
    "mistakes",
    "randomised",
]

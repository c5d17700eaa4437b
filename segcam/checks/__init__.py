"""Can a map be trusted: faithfulness, sanity and the diagnosis of blank maps.

print(diagnose(probe, images, Target(class_id=1)))
"""

from segcam.checks.diagnosis import Diagnosis, diagnose
from segcam.checks.sanity import cascading, execution_order, independent, randomised

__all__ = ["Diagnosis", "cascading", "diagnose", "execution_order", "independent", "randomised"]

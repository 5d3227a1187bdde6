"""What an integration job reports of the own model."""

from p2pfed.core.effects import StartIntegration
from p2pfed.core.events import Evaluation
from p2pfed.learn.learner import Learner, ShouldStop


def evaluate(
    learner: Learner, effect: StartIntegration, should_stop: ShouldStop
) -> Evaluation | None:
    """Evaluate a learner as far as an integration asks for it.

    Raises:
        JobCancelled: If `should_stop` said so between two batches.
    """
    if not effect.evaluate and not effect.test:
        return None
    score, loss = learner.evaluate("validation", should_stop=should_stop)
    test_score = None
    if effect.test:
        test_score, _ = learner.evaluate("test", should_stop=should_stop)
    return Evaluation(score=score, loss=loss, test_score=test_score)

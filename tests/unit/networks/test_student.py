"""What is trained is tried out as it will be shipped."""

from __future__ import annotations

import pytest
from small_network import NormNetwork, SmallNetwork, WideNetwork

from oakpoint.errors import UsageError
from oakpoint.networks.acorn import Acorn
from oakpoint.networks.student import check_deployed, freeze_unused


def test_what_is_deployed_as_it_is_trained_passes() -> None:
    check_deployed("acorn", Acorn.trainable())
    check_deployed("small_network:SmallNetwork", SmallNetwork())


@pytest.mark.parametrize(
    ("student", "message"),
    [
        ("small_network:DeployedOtherwise", "expected deployed() to compute what is trained, got another function"),
        ("small_network:DeployedNot", "deployed() gives no small_network:DeployedNot (forgotten)"),
        ("small_network:DeployedAnother", "deployed() gives no small_network:DeployedAnother ("),
    ],
)
def test_what_would_ship_something_else_is_refused(student: str, message: str) -> None:
    import small_network

    with pytest.raises(UsageError) as error:
        check_deployed(student, getattr(small_network, student.partition(":")[2])())
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_parameters_without_a_part_in_the_outputs_are_not_trained() -> None:
    student = NormNetwork().train()
    statistics = {name: buffer.clone() for name, buffer in student.named_buffers()}
    freeze_unused(student, "cpu")
    assert student.training
    assert all(parameter.requires_grad and parameter.grad is None for parameter in student.parameters())
    assert all((buffer == statistics[name]).all() for name, buffer in student.named_buffers())
    idle = WideNetwork()
    freeze_unused(idle, "cpu")
    assert {name for name, one in idle.named_parameters() if not one.requires_grad} == {"unused"}

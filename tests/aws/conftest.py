"""What all tests of the border to AWS share."""

import functools
from collections.abc import Iterator

import botocore.session
import pytest


@pytest.fixture(scope="package", autouse=True)
def _service_models_are_read_once() -> Iterator[None]:
    """botocore reads megabytes of JSON for every session; the models are the same for all tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.session, "create_loader", functools.lru_cache(botocore.session.create_loader))
        yield

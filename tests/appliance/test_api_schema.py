"""The API against its own description: whatever is sent, nothing fails inside."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings

from tests.appliance.box import Box

pytest.importorskip("fastapi", reason="the API's packages are not installed: privaedge[api]")
schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")

SLOW = frozenset({"/api/v1/process", "/api/v1/faces/{name}/shots", "/api/v1/faces/{name}"})
"""What starts a process: tried less often."""
LEFT_OUT = frozenset({"/api/v1/logout"})
MANY, FEW = 8, 2


@pytest.fixture(scope="module")
def description(box: Box) -> dict[str, Any]:
    box.await_on_air()
    told: dict[str, Any] = box.ask("GET", "/api/v1/openapi.json").json
    return told


def test_every_route_is_described_with_its_errors(description: dict[str, Any]) -> None:
    paths = description["paths"]
    wanted = {
        "/health", "/health/live", "/health/ready", "/metrics", "/api/v1/login", "/api/v1/logout",
        "/api/v1/session", "/api/v1/status", "/api/v1/config", "/api/v1/config/schema",
        "/api/v1/config/history", "/api/v1/config/undo", "/api/v1/filters/{lane}", "/api/v1/panic",
        "/api/v1/resume", "/api/v1/models", "/api/v1/process", "/api/v1/process/{job}",
        "/api/v1/process/{job}/result", "/api/v1/faces", "/api/v1/faces/{name}",
        "/api/v1/faces/{name}/shots",
    }  # fmt: skip
    assert wanted <= set(paths)
    for path, methods in paths.items():
        for method, operation in methods.items():
            where = f"{method} {path}"
            assert operation.get("description"), where
            assert {"401", "403", "421", "429"} <= set(operation["responses"]), where
            has_body = "requestBody" in operation
            if has_body or operation.get("parameters"):
                assert "422" in operation["responses"], where
    text = json.dumps(description)
    assert "privaedge.yaml" not in text


def test_nothing_that_can_be_sent_fails_inside(box: Box, description: dict[str, Any]) -> None:
    schema = schemathesis.openapi.from_dict(description)
    failed: list[str] = []
    tried = 0
    for result in schema.get_all_operations():
        operation = result.ok()
        if operation.path in LEFT_OUT:
            continue
        examples = FEW if operation.path in SLOW else MANY

        @settings(
            max_examples=examples,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def attack(case: Any) -> None:
            nonlocal tried
            tried += 1
            headers = {**(case.headers or {}), **box.bearer}
            answer = case.call(base_url=box.url.rstrip("/"), headers=headers, timeout=60)
            told = str(answer.status_code)
            where = f"{case.method} {case.operation.path}: {told}"
            if answer.status_code >= 500 and answer.status_code != 503:
                failed.append(where)
            elif told not in case.operation.definition.raw["responses"]:
                failed.append(f"{where} is not described")

        strategy = operation.as_strategy()
        from hypothesis import given

        given(case=strategy)(attack)()
        unwanted = (
            operation.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE)
            if operation.body or operation.query or operation.path_parameters
            else None
        )
        if unwanted is not None:
            given(case=unwanted)(attack)()
    box.ask("POST", "/api/v1/resume")
    assert not failed, failed[:20]
    assert tried > 100
    assert "api-error" not in box.says()
    assert box.process.poll() is None

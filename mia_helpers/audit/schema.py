"""The form of a report in JSON: `JSON_SCHEMA` (JSON Schema, draft 2020-12), and the words that its fields may hold.

`schema_version` goes up whenever a field is taken away, renamed or given another meaning; fields may be added without.
"""

SCHEMA_VERSION = 1
EVIDENCE, NO_EVIDENCE, NOT_COMPARABLE = "evidence", "no evidence", "not comparable"
INDEPENDENT = "exact binomial limits, which assume that each answer does not depend on who else was a member"
ONE_RUN = "one training run, each membership a fair coin (Steinke et al. 2023, arXiv 2305.08846)"
THRESHOLDS = REFERENCE_MODEL, CALIBRATION_HALF, FIXED = ("a reference model", "calibration half", "log-odds 0")


def _object(additional: dict | bool = False, optional: tuple[str, ...] = (), **properties: dict) -> dict:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": additional}


def _list(of: dict) -> dict:
    return {"type": "array", "items": of}


_RATE, _COUNT, _TEXT = {"type": "number", "minimum": 0, "maximum": 1}, {"type": "integer", "minimum": 0}, {"type": "string"}
_NUMBER, _BOOL = {"type": "number"}, {"type": "boolean"}
_ESTIMATE = _object(value=_NUMBER, low=_NUMBER, high=_NUMBER)


def _or_null(schema: dict) -> dict:
    return {"anyOf": [schema, {"type": "null"}]}


JSON_SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "mia_helpers.audit",
    **_object(
        optional=("advice", "checklist", "slips"),  # added later: earlier files of this version stay valid
        schema={"const": "mia_helpers.audit"},
        schema_version={"const": SCHEMA_VERSION},
        status={"enum": [EVIDENCE, NO_EVIDENCE, NOT_COMPARABLE]},
        verdict=_TEXT,
        data=_object(
            optional=("n_rows", "accuracy"),
            n_members=_COUNT,
            n_non_members=_COUNT,
            n_classes=_COUNT,
            n_shadows=_COUNT,
            n_rows=_COUNT,
            accuracy={"type": "object", "additionalProperties": _ESTIMATE},
            smallest_supported_fpr=_RATE,
        ),
        at_fpr=_RATE,
        confidence=_RATE,
        level=_RATE,
        strongest=_TEXT,
        attacks={
            "type": "object",
            "additionalProperties": _object(
                auc=_ESTIMATE,
                accuracy=_ESTIMATE,
                advantage=_ESTIMATE,
                threshold={**_or_null(_NUMBER), "description": "null: nothing beat calling everybody a non-member"},
                threshold_from={"enum": list(THRESHOLDS)},
                tpr_at_fpr=_list(_object(fpr=_RATE, value=_RATE, low=_RATE, high=_RATE)),
            ),
        },
        epsilon=_object(
            optional=("method", "holds_for_this_run"),
            lower_bound={
                "type": "number",
                "minimum": 0,
                "description": "nats; a bound for this training run only if holds_for_this_run, else what would be one if "
                "people's answers did not depend on one another",
            },
            delta=_RATE,
            attack=_TEXT,
            method={"enum": [INDEPENDENT, ONE_RUN]},
            holds_for_this_run=_BOOL,
        ),
        slices=_list(
            _object(
                column={"enum": ["class", "group"]},
                value=_TEXT,
                n_members=_COUNT,
                n_non_members=_COUNT,
                attack=_or_null(_TEXT),
                auc=_or_null(_ESTIMATE),
                above_chance=_or_null(_BOOL),
            )
        ),
        exposed=_list(_object(index=_COUNT, label=_COUNT, score=_NUMBER, non_members_at_or_above=_RATE)),
        controls=_list(_object(name=_TEXT, auc=_ESTIMATE, passed=_BOOL, meaning=_TEXT)),
        not_run={"type": "object", "additionalProperties": _TEXT},
        slips=_list(_TEXT),
        warnings=_list(_TEXT),
        assumptions=_list(_TEXT),
        advice=_list(_TEXT),
        checklist=_list(_TEXT),
    ),
}

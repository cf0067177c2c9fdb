"""Run records, statistics, comparison, plots and the report that a person reads."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from results import plots, report
    from results.comparison import compare, prediction_error
    from results.documents import document_schema
    from results.pictures import write_pictures
    from results.records import Draft, RecordError, record_schema
    from results.report import write as write_report
    from results.run import Run
    from results.scenario import render_scenario
    from results.store import (
        check_target,
        claim_directory,
        default_directory,
        open_run,
        write_text,
    )
    from results.terminal import render, render_comparison

# Where each name lives; nothing is imported before it is used.
_HOMES = {
    "Draft": "records",
    "RecordError": "records",
    "Run": "run",
    "check_target": "store",
    "claim_directory": "store",
    "compare": "comparison",
    "default_directory": "store",
    "document_schema": "documents",
    "open_run": "store",
    "prediction_error": "comparison",
    "record_schema": "records",
    "render": "terminal",
    "render_comparison": "terminal",
    "render_scenario": "scenario",
    "write_pictures": "pictures",
    "write_text": "store",
}


def __getattr__(name: str) -> Any:
    if name in ("plots", "report"):
        return importlib.import_module(f"results.{name}")
    if name == "write_report":
        return importlib.import_module("results.report").write
    if name in _HOMES:
        return getattr(importlib.import_module(f"results.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'results' has no attribute {name!r}")


__all__ = [
    "Draft", "RecordError", "Run", "check_target", "claim_directory", "compare",
    "default_directory", "document_schema", "open_run", "plots", "prediction_error",
    "record_schema", "render", "render_comparison", "render_scenario", "report", "write_pictures",
    "write_report", "write_text",
]  # fmt: skip

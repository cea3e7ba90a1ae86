"""The daemon's numbers in Prometheus's text format. The only module that loads its client library, which takes long.

The names are a promise: dashboards and alerts are made of them. Labels are words of ours and AWS's only, few of each.
"""

import contextlib
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from resource import getpagesize
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from credhelper import __version__
from credhelper.agent.counts import BOUNDS, Counts, Durations
from credhelper.agent.health import VAULT_STATES, Vitals

Labels = tuple[str, ...]


def render(counts: Counts, vitals: Vitals) -> str:
    """The text that a scrape gets."""
    registry = CollectorRegistry()
    registry.register(_Families([*_about(vitals), *_served(counts), *_asked(counts), *_kept(counts), *_held(vitals)]))
    return generate_latest(registry).decode()


class _Families(Collector):
    """Metric families that have been made already."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        """All of them."""
        return self._families


def _about(vitals: Vitals) -> Iterator[Metric]:
    """The process itself."""
    yield _gauges(
        "credhelper_build_info", "Always 1; the label says which version runs.", ("version",), {(__version__,): 1}
    )
    yield _gauge("credhelper_start_time_seconds", "When the daemon started, in seconds since 1970.", vitals.started_at)
    yield _gauge("credhelper_healthy", "1, or 0 when only a restart of the daemon helps.", vitals.is_healthy)
    yield _gauge("credhelper_troubles", "Things that `credhelper daemon health` lists as wrong.", len(vitals.troubles))
    yield _counter("process_cpu_seconds_total", "User and system CPU time spent, in seconds.", time.process_time())
    with contextlib.suppress(OSError):  # there is no /proc elsewhere than on Linux
        yield _gauge("process_resident_memory_bytes", "Resident memory in bytes.", _resident_memory())


def _resident_memory() -> int:
    """Bytes. Raises OSError."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * getpagesize()


def _served(counts: Counts) -> Iterator[Metric]:
    """What clients asked of us."""
    yield _counters(
        "credhelper_requests_total",
        "Requests on the Unix socket that were answered.",
        ("op", "outcome"),
        counts.requests,
    )
    lookups = {(result,): counts.answers["get", result].count for result in ("hit", "miss")}
    yield _counters(
        "credhelper_role_cache_lookups_total", "Requests for a role: answered from memory or not.", ("result",), lookups
    )
    yield _histograms(
        "credhelper_request_duration_seconds",
        "From a whole request to its answer; a get hits or misses the role credentials in memory.",
        ("op", "cache"),
        counts.answers,
    )
    yield _counters(
        "credhelper_connections_dropped_total",
        "Connections on the Unix socket that the daemon broke off.",
        ("reason",),
        _with_one_label(counts.dropped),
    )
    yield _counters(
        "credhelper_http_requests_total",
        "Requests for metrics or health over HTTP that were answered.",
        ("status",),
        {(str(status),): number for status, number in counts.http.items()},
    )
    yield _counters(
        "credhelper_container_requests_total",
        "Requests for credentials over HTTP that were answered.",
        ("status",),
        {(str(status),): number for status, number in counts.container.items()},
    )


def _asked(counts: Counts) -> Iterator[Metric]:
    """What we asked of AWS."""
    calls, durations = counts.calls()
    yield _counters("credhelper_upstream_calls_total", "Calls to AWS that have ended.", ("operation", "outcome"), calls)
    yield _histograms(
        "credhelper_upstream_call_duration_seconds",
        "How long calls to AWS took.",
        ("operation",),
        {(operation,): found for operation, found in durations.items()},
    )


def _kept(counts: Counts) -> Iterator[Metric]:
    """What came of it."""
    for name, text, label, numbers in (
        ("credhelper_token_refreshes_total", "Refreshes of access tokens.", "outcome", counts.refreshes),
        ("credhelper_role_fetches_total", "Fetches of role credentials.", "outcome", counts.fetches),
        ("credhelper_logins_total", "Logins that have ended.", "outcome", counts.logins),
        ("credhelper_logouts_total", "Logouts that have ended.", "outcome", counts.logouts),
        ("credhelper_notices_total", "Notices shown on the desktop.", "kind", counts.notices),
    ):
        yield _counters(name, text, (label,), _with_one_label(numbers))
    yield _histograms(
        "credhelper_event_loop_delay_seconds",
        "How much later than it could have work on the event loop was run, measured as it happens.",
        (),
        {(): counts.late},
    )


def _held(vitals: Vitals) -> Iterator[Metric]:
    """What is there now."""
    yield _gauge(
        "credhelper_event_loop_lag_seconds", "The longest delay on the event loop in the last two minutes.", vitals.lag
    )
    yield _gauge("credhelper_open_connections", "Connections on the Unix socket.", vitals.connections)
    yield _gauge("credhelper_leases", "Leases that are open.", vitals.leases)
    yield _gauges(
        "credhelper_sso_sessions", "Sessions that the daemon knows.", ("state",), _with_one_label(vitals.sessions)
    )
    yield _gauges(
        "credhelper_role_credentials", "Role credentials in memory.", ("state",), _with_one_label(vitals.roles)
    )
    yield _gauge(
        "credhelper_revocations_pending", "Sign-ins that AWS could not be told to end yet.", vitals.revocations
    )
    yield _gauges(
        "credhelper_vault_state",
        "1 for how things outlive a restart: sealed by a key from the keyring, or not at all.",
        ("state",),
        {(state,): state == vitals.vault for state in VAULT_STATES},
    )
    if vitals.coverage is not None:
        found = vitals.coverage
        how = {("events",): found.told, ("polling",): found.polled, ("on_use",): found.unwatched}
        yield _gauges("credhelper_watched_paths", "Files that are watched, by how a change is noticed.", ("how",), how)
    yield _gauges(
        "credhelper_kernel_events",
        "1 where the kernel tells of changes, 0 where they are only noticed later.",
        ("about",),
        _with_one_label(vitals.hears_of),
    )
    if vitals.clock_skew is not None:
        yield _gauge(
            "credhelper_clock_skew_seconds", "How far AWS's clock is ahead of this machine's.", vitals.clock_skew
        )


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=float(value))


def _gauges(name: str, text: str, labels: Labels, values: Mapping[Any, float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for found, value in values.items():
        family.add_metric(found, float(value))
    return family


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(name, text, value=value)


def _counters(name: str, text: str, labels: Labels, values: Mapping[Any, float]) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for found, value in sorted(values.items()):
        family.add_metric(found, value)
    return family


def _histograms(name: str, text: str, labels: Labels, values: Mapping[Any, Durations]) -> Metric:
    family = HistogramMetricFamily(name, text, labels=labels)
    ends = [*(str(bound) for bound in BOUNDS), "+Inf"]
    for found, durations in sorted(values.items()):
        family.add_metric(found, list(zip(ends, durations.up_to(), strict=True)), durations.sum)
    return family


def _with_one_label(numbers: Mapping[str, float]) -> dict[Labels, float]:
    return {(name,): number for name, number in numbers.items()}

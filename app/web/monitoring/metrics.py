"""Figures for Prometheus: requests, the queue, batches, verdicts and what had to be restarted."""

import hmac
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address
from time import perf_counter

from flask import Blueprint, Flask, Response, abort, current_app, g, request
from flask.typing import ResponseReturnValue
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from app.engine.protocol import MeasuredEngine
from app.services.container import Services
from app.web.context import services
from app.web.guards import public

EXTENSION = "veriscan-metrics"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
LATENCY_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Real-IP")

bp = Blueprint("metrics", __name__)


@bp.get("/metrics")
@public
def show() -> ResponseReturnValue:
    """Answer to Prometheus: with the token, or without one to this machine alone."""
    if not _may_read():
        abort(404)  # nobody needs to know that there is something
    registry: CollectorRegistry = current_app.extensions[EXTENSION]
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


def _may_read() -> bool:
    token = services().settings.metrics_token
    if token is not None:
        authorization = request.authorization
        given = authorization.token if authorization and authorization.type == "bearer" else None
        return given is not None and hmac.compare_digest(given.encode(), token.encode())
    # A proxy on this machine connects from here too, for whomever; but it says so.
    if any(header in request.headers for header in FORWARDED):
        return False
    try:
        return ip_address(request.remote_addr or "").is_loopback
    except ValueError:
        return False


def init_app(app: Flask, found: Services) -> None:
    """Count the requests of an application, and gather the figures of its services."""
    registry = CollectorRegistry()
    app.extensions[EXTENSION] = registry
    ProcessCollector(registry=registry)
    registry.register(_Gathered(found))
    requests = Counter(
        "veriscan_http_requests",
        "Requests that were answered.",
        ("method", "endpoint", "status"),
        registry=registry,
    )
    latencies = Histogram(
        "veriscan_http_request_duration_seconds",
        "From a request to its answer.",
        ("endpoint",),
        buckets=LATENCY_BUCKETS_S,
        registry=registry,
    )

    @app.before_request
    def note_time() -> None:
        g.began_s = perf_counter()

    @app.after_request
    def count(response: Response) -> Response:
        # What a client chooses freely, a path for instance, would make series without end.
        endpoint = request.endpoint or "none"
        method = request.method if request.method in METHODS else "other"
        requests.labels(method, endpoint, str(response.status_code)).inc()
        latencies.labels(endpoint).observe(perf_counter() - g.began_s)
        return response


class _Gathered(Collector):
    """Reads the figures that the services keep, whenever Prometheus asks."""

    def __init__(self, found: Services) -> None:
        self._services = found

    def describe(self) -> Iterable[Metric]:
        """Return nothing: the names are known when it is collected."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield the figures."""
        found = self._services
        yield _gauge("queue_length", "Scans that wait.", found.engine.queue_length())
        disk = found.administration.monitoring.disk()
        yield _gauge("disk_free_bytes", "Room left for data.", disk.free_bytes)
        modalities = GaugeMetricFamily(
            "veriscan_modality_available", "Whether it can be judged.", labels=["modality"]
        )
        for key, availability in found.engine.availability().items():
            modalities.add_metric([key], availability.is_available)
        yield modalities
        verdicts = CounterMetricFamily(
            "veriscan_verdicts", "Verdicts since the start.", labels=["modality", "verdict"]
        )
        for labels, count in found.verdicts.counts().items():
            verdicts.add_metric(list(labels), count)
        yield verdicts
        yield CounterMetricFamily(
            "veriscan_decoding_workers_replaced",
            "Decoding processes that died, were stopped or were worn out.",
            value=found.decoding.workers_replaced,
        )
        if isinstance(found.engine, MeasuredEngine):
            figures = found.engine.figures()
            yield _gauge("engine_alive", "Whether its threads run.", figures.is_alive)
            yield CounterMetricFamily(
                "veriscan_engine_restarts", "Times it began again.", value=figures.restarts
            )
            yield CounterMetricFamily(
                "veriscan_gpu_memory_shortages",
                "Times the GPU had no memory for a batch or a network.",
                value=figures.memory_shortages,
            )
            yield _batches(figures.batches)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"veriscan_{name}", text, value=value)


def _batches(batches: Mapping[int, int]) -> Metric:
    buckets = [
        (str(float(limit)), float(sum(n for size, n in batches.items() if size <= limit)))
        for limit in BATCH_BUCKETS
    ]
    buckets.append(("+Inf", float(sum(batches.values()))))
    family = HistogramMetricFamily("veriscan_batch_size", "Scans judged at once.")
    family.add_metric([], buckets, sum_value=float(sum(s * n for s, n in batches.items())))
    return family

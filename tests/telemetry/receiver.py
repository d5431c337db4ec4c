"""An OTLP collector for tests: takes gRPC on a free port and prints each span as one line of JSON.

Rotel (a collector of its own, from PyPI) is what Keyway talks to. It passes on what it understood by OTLP over HTTP to this
script, which decodes it with OpenTelemetry's own message types. The first line printed is rotel's gRPC port.
"""

import ctypes
import gzip
import http.server
import json
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time

import rotel
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

READY_SECONDS = 30
PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class Spans(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            for scope in resource.scope_spans:
                for span in scope.spans:
                    show(resource.resource, span)
        answer = ExportTraceServiceResponse().SerializeToString()
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        pass


def plain(attributes) -> dict:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in attributes}


def show(resource, span) -> None:
    line = {
        "resource": plain(resource.attributes),
        "trace": span.trace_id.hex(),
        "id": span.span_id.hex(),
        "parent": span.parent_span_id.hex(),
        "name": span.name,
        "kind": span.kind,
        "start": span.start_time_unix_nano,
        "end": span.end_time_unix_nano,
        "error": span.status.code == 2,
        "attributes": plain(span.attributes),
        "links": [{"trace": link.trace_id.hex(), "id": link.span_id.hex()} for link in span.links],
        "events": {event.name: event.time_unix_nano for event in span.events},
        # Every field there is, for tests that look for what must not be there.
        "whole": MessageToDict(span),
    }
    print(json.dumps(line), flush=True)


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def main() -> None:
    die_with_parent()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Spans)
    # Rotel does not tell which port it got, so it is told one that was free a moment ago.
    grpc = free_port()
    with tempfile.TemporaryDirectory() as folder:
        agent = subprocess.Popen(
            [
                pathlib.Path(rotel.__file__).parent / "rotel-agent", "start",
                "--pid-file", f"{folder}/pid", "--log-file", f"{folder}/log",
                "--otlp-grpc-endpoint", f"127.0.0.1:{grpc}",
                "--otlp-http-endpoint", f"127.0.0.1:{free_port()}",
                "--batch-timeout", "50ms",
                "--exporter", "otlp", "--otlp-exporter-protocol", "http",
                "--otlp-exporter-endpoint", f"http://127.0.0.1:{server.server_port}",
            ],
            stdout=sys.stderr,
            preexec_fn=die_with_parent,
        )
        deadline = time.monotonic() + READY_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", grpc), timeout=1).close()
                break
            except OSError:
                if agent.poll() is not None or time.monotonic() > deadline:
                    sys.exit("rotel did not start")
                time.sleep(0.02)
        print(grpc, flush=True)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        try:
            server.serve_forever()
        finally:
            agent.terminate()
            agent.wait()


main()

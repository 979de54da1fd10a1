"""The guards of the HTTP servers."""

from tests.fault.guards.guard import Edit, Guard

CONNECTIONS = "tests/integration/http_edge/test_connection_limits.py"
HTTP_EDGE = "tests/integration/http_edge/test_hostile_http.py"
_HTTP = "src/goald/runtime/http/protocol.py"
_READS = "src/goald/runtime/http/reads.py"
_FAIR_QUEUE = "src/goald/runtime/http/fair_queue.py"
_EXPORTER = "src/goald/runtime/heartbeat/exporter_server.py"
FAIR_QUEUE = "tests/unit/runtime/test_fair_queue.py"
_BOUNDS = "src/goald/runtime/http/bounds.py"
CONFORMANCE = "tests/integration/http_edge/test_http_conformance.py"
METRICS_EDGE = "tests/integration/http_edge/test_hostile_metrics.py"

HTTP_GUARDS = (
    Guard(
        "HTTP: X-Forwarded-For counts from trusted proxies only",
        "D8",
        (
            Edit(
                "src/goald/runtime/http/server.py",
                "            proxy_headers=bool(proxies),\n"
                "            forwarded_allow_ips=proxies,\n",
                '            proxy_headers=True,\n            forwarded_allow_ips=["*"],\n',
            ),
        ),
        (CONNECTIONS,),
    ),
    Guard(
        "HTTP: a response without a body is sent",
        "D9",
        (Edit(_HTTP, "            self._running.transport.flush()\n", "            pass\n"),),
        (CONFORMANCE,),
    ),
    Guard(
        "HTTP: 100 Continue is sent before the body arrives",
        "D9",
        (
            Edit(
                "src/goald/runtime/http/responses.py",
                "        elif data.startswith(_CONTINUE):",
                "        elif False:",
            ),
        ),
        (CONFORMANCE,),
    ),
    Guard(
        "HTTP: a body of tiny chunks is refused",
        "D8",
        (Edit(_HTTP, "            self._fail(bounds.SMALL_CHUNKS)\n", "            pass\n"),),
        (HTTP_EDGE,),
    ),
    Guard(
        "HTTP: a body with Content-Length may arrive in small reads",
        "D8",
        (
            Edit(_HTTP, "    def on_chunk_header(self)", "    def count_chunk(self)"),
            Edit(
                _HTTP,
                "        self._framing_bytes -= len(body)\n",
                "        self._framing_bytes -= len(body)\n        self.count_chunk()\n",
            ),
        ),
        (HTTP_EDGE,),
    ),
    Guard(
        "HTTP: time in which the server does not read does not count",
        "D8",
        (Edit(_HTTP, "            self._since += now", "            now"),),
        (HTTP_EDGE,),
    ),
    Guard(
        "HTTP: a connection that has ended gets no work",
        "D8",
        (
            Edit(
                _READS,
                "        if self._transport is None or self._transport.is_closing():\n"
                "            return\n",
                "",
            ),
        ),
        ("tests/unit/runtime/test_reads.py",),
    ),
    Guard(
        "HTTP: clients take turns",
        "D8",
        (Edit(_FAIR_QUEUE, "self.waiting.popitem(last=False)", "self.waiting.popitem()"),),
        (FAIR_QUEUE,),
    ),
    Guard(
        "HTTP: a turn is bounded",
        "D8",
        (
            Edit(
                _FAIR_QUEUE,
                "        if self._remaining > 0 and not self.waiting:\n",
                "        if not self.waiting:\n",
            ),
        ),
        (FAIR_QUEUE,),
    ),
    Guard(
        "HTTP: a connection that waits for its turn is not read",
        "D8",
        (Edit(_READS, "            self._transport.pause_reading()\n", "            pass\n"),),
        (HTTP_EDGE,),
    ),
    Guard(
        "metrics: connections are limited",
        "D8",
        (
            Edit(
                _EXPORTER,
                "            self.shutdown_request(request)\n            return\n",
                "            self._free = BoundedSemaphore(CONNECTIONS)\n",
            ),
        ),
        (METRICS_EDGE,),
    ),
    Guard(
        "metrics: a slow client is disconnected",
        "D8",
        (Edit(_EXPORTER, "        end.start()\n", ""),),
        (METRICS_EDGE,),
    ),
    Guard(
        "metrics: bytes beyond the bound are not read",
        "D8",
        (
            Edit(
                _EXPORTER,
                "        return self._remaining if size < 0 else min(size, self._remaining)\n",
                "        return size\n",
            ),
        ),
        (METRICS_EDGE,),
    ),
    Guard(
        "HTTP: a closed connection does not wait for its client",
        "D8",
        (Edit(_HTTP, "now - self._closing_at >= CLOSE_SECONDS", "False"),),
        (HTTP_EDGE,),
    ),
    Guard(
        "HTTP: refused connections are limited",
        "D8",
        (
            Edit(
                "src/goald/runtime/http/connections.py",
                "if len(self._refused) > REFUSED_CONNECTIONS:",
                "if False:",
            ),
        ),
        (CONNECTIONS,),
    ),
    Guard(
        "HTTP: a connection is closed after an upgrade",
        "D8",
        (Edit(_HTTP, "            self.cycle.keep_alive = False\n", "            pass\n"),),
        (HTTP_EDGE,),
    ),
    Guard(
        "HTTP: a request has exactly one Host",
        "D8",
        (Edit(_BOUNDS, 'if hosts > 1 or (hosts == 0 and version == "1.1"):', "if False:"),),
        (CONFORMANCE,),
    ),
    Guard(
        "HTTP: only chunked is a transfer coding",
        "D8",
        (Edit(_BOUNDS, 'if codings and codings != [b"chunked"]:', "if False:"),),
        (CONFORMANCE,),
    ),
    Guard(
        "HTTP: other versions are refused",
        "D8",
        (Edit(_BOUNDS, 'if version not in ("1.1", "1.0"):', "if False:"),),
        (CONFORMANCE,),
    ),
    Guard(
        "HTTP: requests before a refused one get their responses",
        "D8",
        (Edit(_HTTP, "or self._await_last_responses(rejection)", "or False"),),
        (CONFORMANCE,),
    ),
    Guard(
        "HTTP: requests before a half-close get their responses",
        "D8",
        (Edit(_READS, "return self._http.eof_received()", "return False"),),
        (CONFORMANCE,),
    ),
    Guard(
        "HTTP: free memory returns to the operating system",
        "D8",
        (
            Edit(
                "src/goald/runtime/http/server.py",
                "            release_free_memory()\n",
                "            pass\n",
            ),
        ),
        ("tests/integration/http_edge/test_free_memory.py",),
    ),
)

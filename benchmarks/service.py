"""What does HTTP add to a call of the SDK? The bundled model explains one sentence of a made-up record.

Both sides do the same work on the same model: the SDK in this process, by threads; HTTP through `whence
serve` in a process of its own, on a real socket. Asked by 1 client and by 50 at once: the time of a request
(p50, p99), and how many are answered in a second.

One pass at a time goes through a model, so 50 clients wait for one another: both sides take them in the order
in which they came, so that a request takes about as long as 50 passes.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory
from threading import local

import httpx

from whence import Explainer
from whence.demo.records import PROMPT, generate

CLIENTS = (1, 50)
TIMEOUT_SECONDS = 600.0
SETTINGS = '[models.demo]\nprovider = "demo"\nmax_waiting = 100\n'
RECORD = generate(7).text
OUTPUT = "The diagnosis is asthma."


Ask = Callable[[], bool]
"""Asks once; False where there was no explanation."""


def measure(ask: Ask, *, clients: int, requests: int) -> dict[str, float]:
    """Seconds of each request, by so many clients at once; each asks again as soon as it has its answer."""
    failed = 0

    def client(_: int) -> list[float]:
        nonlocal failed
        taken = []
        for _ in range(requests // clients):
            began = time.perf_counter()
            failed += not ask()
            taken.append(time.perf_counter() - began)
        return taken

    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        taken = [seconds for own in pool.map(client, range(clients)) for seconds in own]
    per_second = len(taken) / (time.perf_counter() - began)
    percentiles = quantiles(taken, n=100, method="inclusive")
    return {
        "p50_seconds": percentiles[49],
        "p99_seconds": percentiles[98],
        "per_second": per_second,
        "failed": failed,
    }


@contextmanager
def served() -> Iterator[str]:
    """The address of `whence serve` with the bundled model."""
    with TemporaryDirectory() as folder:
        settings, log = Path(folder) / "settings.toml", Path(folder) / "log"
        settings.write_text(SETTINGS)
        with log.open("wb") as output:
            command = [Path(sys.executable).with_name("whence"), "serve", "--config", settings, "--port", "0"]
            process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)  # noqa: S603
        try:
            while not (found := re.search(r"Uvicorn running on (http://\S+)", log.read_text())):
                if process.poll() is not None:
                    sys.exit(log.read_text())
                time.sleep(0.1)
            yield found[1]
        finally:
            process.terminate()
            process.wait()


def run(requests: int) -> dict[str, float]:
    figures: dict[str, float] = {}

    def note(face: str, ask: Ask) -> None:
        ask()  # the first loads the model
        for clients in CLIENTS:
            for name, value in measure(ask, clients=clients, requests=requests).items():
                figures[f"{face}_{clients}_{name}"] = value

    with Explainer("demo") as explainer:

        def ask_sdk() -> bool:
            return bool(explainer.explain(PROMPT, sources=[RECORD], output=OUTPUT).results)

        note("sdk", ask_sdk)
    mine = local()  # a connection for each client
    with served() as url:

        def ask_http() -> bool:
            if not hasattr(mine, "client"):
                mine.client = httpx.Client(base_url=url, timeout=TIMEOUT_SECONDS)
            request = {"prompt": PROMPT, "sources": [RECORD], "output": OUTPUT}
            return bool(mine.client.post("/v1/explanations", json=request).is_success)

        note("http", ask_http)
    for clients in CLIENTS:
        for name in ("p50_seconds", "p99_seconds", "per_second"):
            sdk, http = (figures[f"{face}_{clients}_{name}"] for face in ("sdk", "http"))
            figures[f"added_{clients}_{name}"] = http - sdk
            figures[f"ratio_{clients}_{name}"] = http / sdk
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--requests", type=int, default=500, help="of each face, by each number of clients")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--check", action="store_true", help="exit with 1 where a request failed")
    arguments = parser.parse_args()
    figures = run(arguments.requests)
    failed = sum(value for name, value in figures.items() if name.endswith("_failed"))
    if arguments.json:
        print(json.dumps(figures))
    else:
        for clients in CLIENTS:
            for face in ("sdk", "http", "added"):
                p50, p99 = (1000 * figures[f"{face}_{clients}_{name}_seconds"] for name in ("p50", "p99"))
                rate = figures[f"{face}_{clients}_per_second"]
                print(f"clients {clients:2}  {face:5}  p50 {p50:8.1f} ms  p99 {p99:8.1f} ms  {rate:6.1f} / s")
        print(f"failed {failed:.0f}")
        ratios = (
            f"{name.partition('_')[0]} at {clients} {figures[f'ratio_{clients}_{name}']:.2f}"
            for clients, name in (
                (1, "p50_seconds"),
                (1, "p99_seconds"),
                (50, "p50_seconds"),
                (50, "p99_seconds"),
            )
        )
        print(f"http / sdk: {', '.join(ratios)}, per second at 50 {figures['ratio_50_per_second']:.2f}")
    if arguments.check and failed:
        sys.exit(1)


if __name__ == "__main__":
    main()

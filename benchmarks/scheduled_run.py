"""Does a schedule really build, and say so? Start a Prefect server, serve a recipe every minute, and wait for the dataset's first
version and the message about it.

    python benchmarks/scheduled_run.py

Takes one to three minutes and needs no model and no network; everything, Prefect's home too, lies in a temporary folder. Prints
how long each thing took, what the version holds, what the webhook heard and what the served process said; exits with 1 if no
version or no message came, or if a process was left over.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import psutil

from pairwright.storage.versions import Dataset

WAIT_S = 150
RECIPE = """
dataset: scheduled
prompts: {source: jsonl, path: prompts.jsonl}
models:
  policy: {engine: scripted}
  strong: {engine: scripted, seed: 1, quality: 0.9}
  weak: {engine: scripted, seed: 2, quality: 0.1}
annotators: [density_ratio]
"""


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        (folder / "recipe.yaml").write_text(RECIPE)
        (folder / "prompts.jsonl").write_text("".join(json.dumps({"prompt": f"What is {i} + {i}?"}) + "\n" for i in range(50)))
        env = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
        env |= {"PREFECT_HOME": str(folder / "prefect"), "PREFECT_API_URL": f"http://127.0.0.1:{port}/api", "DO_NOT_TRACK": "1"}
        env |= {"PREFECT_SERVER_ANALYTICS_ENABLED": "false", "PYTHONUNBUFFERED": "1"}
        env |= {"PREFECT_RESULTS_LOCAL_STORAGE_PATH": str(folder / "results"), "PREFECT_MEMO_STORE_PATH": str(folder / "memo")}
        dataset = Dataset(folder / "data", "scheduled")
        heard, hook = listen()
        runs: list[dict[str, Any]] = []
        processes: list[subprocess.Popen[bytes]] = []
        seen: dict[int, psutil.Process] = {}

        def start(log: str, module: str, *args: str) -> None:
            with (folder / log).open("wb") as out:
                command = [sys.executable, "-m", module, *args]
                processes.append(subprocess.Popen(command, cwd=folder, env=env, stdout=out, stderr=out, start_new_session=True))

        try:
            start("server.log", "prefect", "server", "start", "--port", str(port))
            server_s = wait_until(lambda: answers(f"{env['PREFECT_API_URL']}/health"), processes, seen)
            start("serve.log", "pairwright.flows.cli", "serve", "recipe.yaml", "--cron", "* * * * *", "--on-success", hook)
            version_s = wait_until(lambda: dataset.latest() is not None, processes, seen)
            wait_until(lambda: bool(heard and finished_runs(env["PREFECT_API_URL"])), processes, seen, 20)
            runs = finished_runs(env["PREFECT_API_URL"])
            time.sleep(5)  # until the process of the run has ended too
        finally:
            left = stop(processes[::-1], seen)
        said = (folder / "serve.log").read_text()
        print(f"the server answered after {server_s} s; version 1 came {version_s} s after `serve` was called")
        for run in runs:
            due, began, ended = (run[name][11:23] for name in ("expected_start_time", "start_time", "end_time"))
            print(f"{run['name']}: due {due}, ran {began} to {ended}: {run['state_name']}")
        if version_s is not None:
            manifest = dataset.manifest(1)
            paid = manifest.cost["this build: sample"]["run"]
            print(
                f"version 1: {manifest.rows('preference')} pairs of 50 prompts; {paid:.0f} requests for responses were paid for"
            )
        print(f"the webhook heard: {heard[0] if heard else 'nothing'}")
        print(f"processes left over: {', '.join(left) or 'none'}\nwhat the served process said:\n{said[-4000:]}")
        return 0 if version_s is not None and heard and not left else 1


def listen() -> tuple[list[str], str]:
    """What is posted from now on, and the address to post it to."""
    heard: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return heard, f"http://127.0.0.1:{server.server_port}/"


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def answers(url: str) -> bool:
    """Does the server say that it is well?"""
    try:
        with urllib.request.urlopen(url, timeout=2) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


def finished_runs(api: str) -> list[dict[str, Any]]:
    """The flow runs that have ended."""
    asked = json.dumps({"flow_runs": {"state": {"type": {"any_": ["COMPLETED", "FAILED", "CRASHED"]}}}}).encode()
    request = urllib.request.Request(f"{api}/flow_runs/filter", asked, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=5) as reply:
        return list(json.load(reply))


def wait_until(
    true: Callable[[], bool],
    processes: Sequence[subprocess.Popen[bytes]],
    seen: dict[int, psutil.Process],
    wait_s: float = WAIT_S,
) -> float | None:
    """The seconds until `true`, or None if it does not come or a process ends; notes every process that was started meanwhile."""
    started = time.monotonic()
    while time.monotonic() - started < wait_s and all(p.poll() is None for p in processes):
        for process in processes:
            seen.update({p.pid: p for p in psutil.Process(process.pid).children(recursive=True)})
        if true():
            return round(time.monotonic() - started, 1)
        time.sleep(0.5)
    return None


def stop(processes: Sequence[subprocess.Popen[bytes]], seen: dict[int, psutil.Process]) -> list[str]:
    """Ask each twice, then insist; returns which of the processes they started lived on, and ends those."""
    for process in processes:
        for sign in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
            process.send_signal(sign)
            try:
                process.wait(15)
                break
            except subprocess.TimeoutExpired:
                print(f"{process.args[2]} {process.args[3]} did not end within 15 s of {sign.name}")
    _, alive = psutil.wait_procs(list(seen.values()), timeout=10)
    left = [" ".join(p.cmdline())[:100] for p in alive]
    for child in alive:
        child.kill()
    return left


if __name__ == "__main__":
    sys.exit(main())

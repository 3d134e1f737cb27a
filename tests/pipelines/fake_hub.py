"""A hub in this process: just the requests by which huggingface_hub makes repositories, commits (with large files), and tags."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

WRITER, READER = "hf_writes", "hf_reads"


@dataclass
class Commit:
    """A state of a repository."""

    title: str
    files: dict[str, bytes]


@dataclass
class Repository:
    """Branches and tags are ids of commits."""

    private: bool
    commits: dict[str, Commit] = field(default_factory=lambda: {"0" * 40: Commit("initial commit", {".gitattributes": b""})})
    branches: dict[str, str] = field(default_factory=lambda: {"main": "0" * 40})
    tags: dict[str, str] = field(default_factory=dict)

    def at(self, revision: str) -> Commit:
        return self.commits[self.branches.get(revision) or self.tags.get(revision) or revision]


@dataclass
class Hub:
    """What the server holds. `broken`: status by a piece of a path, answered instead of what was asked for."""

    url: str = ""
    repos: dict[str, Repository] = field(default_factory=dict)
    large: dict[str, bytes] = field(default_factory=dict)  # sha256 -> content
    broken: dict[str, int] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def commit(self, repo: Repository, branch: str, lines: list[dict[str, Any]]) -> str:
        files, title = dict(repo.at(branch).files), ""
        for line in lines:
            value = line["value"]
            if line["key"] == "header":
                title = value["summary"]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.large[value["oid"]]
            else:
                files[value["path"]] = base64.b64decode(value["content"])
        oid = f"{len(repo.commits):040x}"
        repo.commits[oid], repo.branches[branch] = Commit(title, files), oid
        return oid


def blob_id(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def known(repo: Repository, revision: str) -> bool:
    return revision in repo.branches or revision in repo.tags or revision in repo.commits


def entry(path: str, data: bytes) -> dict[str, Any]:
    return {"type": "file", "path": path, "size": len(data), "oid": blob_id(data)}


def mode(file: dict[str, Any], files: dict[str, bytes]) -> dict[str, Any]:
    large = file["path"].endswith(".parquet")
    there = files.get(file["path"])
    oid = None if there is None else hashlib.sha256(there).hexdigest() if large else blob_id(there)
    return {"path": file["path"], "uploadMode": "lfs" if large else "regular", "shouldIgnore": False, "oid": oid}


def large(hub: Hub, asked: dict[str, Any]) -> dict[str, Any]:
    upload = {"actions": {"upload": {"href": f"{hub.url}/large/{asked['oid']}", "header": {}}}}
    return {"oid": asked["oid"], "size": asked["size"], **({} if asked["oid"] in hub.large else upload)}


@contextmanager
def running() -> Iterator[Hub]:
    """A hub on a free port of this machine."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self, status: int, body: Any = None) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            if status == 404:
                self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def handle_any(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.headers.get("Transfer-Encoding") == "chunked":
                content = self.chunks()
            path = unquote(urlsplit(self.path).path)
            hub.asked.append(f"{self.command} {path}")
            status = next((status for piece, status in hub.broken.items() if piece in path), None)
            token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
            if status is not None:
                self.answer(status, {"error": "broken"})
            elif path.startswith("/large/"):
                hub.large[path.removeprefix("/large/")] = content
                self.answer(200)
            elif token not in (WRITER, READER):
                self.answer(401, {"error": "Invalid username or password."})
            elif self.command != "GET" and token != WRITER and "paths-info" not in path and "validate" not in path:
                self.answer(403, {"error": "You don't have the rights to do that"})
            else:
                self.serve(path, content)

        do_GET = do_POST = do_PUT = handle_any

        def chunks(self) -> bytes:
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

        def serve(self, path: str, content: bytes) -> None:
            if path == "/api/repos/create":
                asked = json.loads(content)
                name = f"{asked.get('organization') or 'me'}/{asked['name']}"
                before = name in hub.repos
                hub.repos.setdefault(name, Repository("private" in (asked.get("visibility"), asked.get("private") and "private")))
                self.answer(409 if before else 200, {"url": f"{hub.url}/datasets/{name}"})
            elif path == "/api/validate-yaml":
                wrong = b"license: no-such" in content
                self.answer(400 if wrong else 200, {"errors": [{"message": "license is wrong"}] if wrong else [], "warnings": []})
            elif found := re.fullmatch(r"/datasets/([^/]+/[^/]+)\.git/info/lfs/objects/batch", path):
                self.answer(200, {"transfer": "basic", "objects": [large(hub, o) for o in json.loads(content)["objects"]]})
            elif found := re.fullmatch(r"/api/datasets/([^/]+/[^/]+)(?:/([a-z-]+)(?:/(.+))?)?", path):
                repo = hub.repos.get(found[1])
                if repo is None or (found[3] and found[2] != "branch" and not known(repo, found[3])):
                    self.answer(404, {"error": "not found"})
                else:
                    self.of_repo(found[1], repo, found[2] or "revision", found[3] or "main", content)
            else:
                self.answer(404, {"error": f"the fake does not know {path}"})

        def of_repo(self, name: str, repo: Repository, what: str, revision: str, content: bytes) -> None:
            if what == "revision":
                sha = repo.branches.get(revision, revision)
                self.answer(200, {"id": name, "sha": sha, "private": repo.private, "siblings": []})
            elif what == "refs":
                refs = [[{"name": n, "ref": n, "targetCommit": c} for n, c in r.items()] for r in (repo.branches, repo.tags)]
                self.answer(200, {"branches": refs[0], "tags": refs[1], "converts": []})
            elif what == "branch":
                repo.branches[revision] = repo.branches["main"]
                self.answer(200)
            elif what == "tree":
                self.answer(200, [entry(path, data) for path, data in repo.at(revision).files.items()])
            elif what == "paths-info":
                files = repo.at(revision).files
                self.answer(200, [entry(path, files[path]) for path in parse_qs(content.decode())["paths"] if path in files])
            elif what == "preupload":
                files = repo.at(revision).files
                self.answer(200, {"files": [mode(file, files) for file in json.loads(content)["files"]]})
            elif what == "commit":
                oid = hub.commit(repo, revision, [json.loads(line) for line in content.splitlines()])
                self.answer(200, {"commitUrl": f"{hub.url}/datasets/{name}/commit/{oid}", "commitOid": oid})
            elif what == "tag":
                tag = json.loads(content)["tag"]
                self.answer(409 if tag in repo.tags else 200)
                repo.tags.setdefault(tag, repo.branches.get(revision, revision))

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

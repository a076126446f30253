"""The page for people: a record goes in, and the explanation opens in the viewer.

The page holds nothing but the address of its script, which asks the same routes as any other client, and
the words that the viewer uses. So none of it needs a key, and it is the same for everybody.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable

from fastapi import APIRouter, Request, Response
from jinja2 import PackageLoader
from starlette.responses import HTMLResponse

from whence.explain.render.pages import environment
from whence.explain.render.viewer import bundle
from whence.explain.render.words import words

PAGE, VIEWER = "page.js", "viewer.js"
"""The page's own script, and the one that it fetches when there is something to look at."""
POLICY = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
"""Scripts of this server, which may ask this server; no markup that a script makes of text."""
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}


def routes() -> APIRouter:
    """The page and its scripts."""
    router = APIRouter(include_in_schema=False)
    loader = PackageLoader("whence.api.service", package_path=".")
    page = environment(loader).get_template("page.html.jinja").render(script=PAGE, words=words())

    @router.get("/")
    async def show_page() -> HTMLResponse:
        return HTMLResponse(page, headers=HEADERS)

    for name in (PAGE, VIEWER):
        router.get(f"/{name}")(_script(bundle(name).encode()))
    return router


def _script(script: bytes) -> Callable[[Request], Awaitable[Response]]:
    etag = f'"{hashlib.sha256(script).hexdigest()}"'
    # Asked about each time, so that a new version is seen at once; sent only where it is new.
    caching = {"Cache-Control": "no-cache", "ETag": etag}

    async def read_script(request: Request) -> Response:
        known = request.headers.get("if-none-match", "")
        if etag in (tag.strip().removeprefix("W/") for tag in known.split(",")):
            return Response(status_code=304, headers=caching)
        return Response(script, media_type="text/javascript", headers=caching)

    return read_script

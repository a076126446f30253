"""Google credentials without Google: a service account of our own, and the endpoint that gives it tokens."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import parse_qsl

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import jwt
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

ACCESS_TOKEN = "ya29.local-access-token-0123456789"  # noqa: S105
PROJECT = "local-project"
LIFETIME_SECONDS = 3600
AUDIENCE = "https://oauth2.googleapis.com/token"  # whatever the token_uri says
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"


def service_account(path: Path, token_url: str, *, project: str = PROJECT) -> Path:
    """Write a service account's key file, with a key made now, whose tokens come from `token_url`."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    account = {
        "type": "service_account",
        "project_id": project,
        "private_key_id": "0123456789abcdef",
        "private_key": pem.decode(),
        "client_email": f"whence@{project}.iam.gserviceaccount.com",
        "client_id": "1234567890",
        "token_uri": token_url,
    }
    path.write_text(json.dumps(account))
    return path


async def token(request: Request) -> Response:
    """POST /token: ACCESS_TOKEN, for an assertion meant for Google; its signature goes unread."""
    form = dict(parse_qsl((await request.body()).decode()))
    if form.get("grant_type") != GRANT:
        return JSONResponse({"error": "unsupported_grant_type"}, status_code=400)
    claims = jwt.decode(form["assertion"], verify=False)  # type: ignore[no-untyped-call]
    if claims["aud"] != AUDIENCE:
        return JSONResponse({"error": "invalid_grant", "error_description": "audience"}, status_code=400)
    return JSONResponse(
        {"access_token": ACCESS_TOKEN, "expires_in": LIFETIME_SECONDS, "token_type": "Bearer"}
    )

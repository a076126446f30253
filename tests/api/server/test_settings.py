"""Settings: a file, the environment over it, options over both; and every way in which they are refused."""

from __future__ import annotations

import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from tests.api.server.conftest import Start

from whence import InputError, UnknownModelError
from whence.api.service.keys import hash_key, make_key
from whence.api.service.settings import Settings, load_settings

ROOT = Path(__file__).parents[3]
Run = Callable[..., CompletedProcess[str]]
FAKE = '[models.fake]\nprovider = "fake"\n'


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Settings]:
    """The settings of this TOML."""

    def call(toml: str, **server: object) -> Settings:
        (tmp_path / "settings.toml").write_text(toml)
        return load_settings(tmp_path / "settings.toml", **server)

    return call


def test_without_a_file_it_is_the_demo_on_this_machine() -> None:
    settings = load_settings()
    assert settings.server.host == "127.0.0.1"
    assert {name: model.provider for name, model in settings.models.items()} == {"demo": "demo"}


def test_the_demo_file_says_the_same_as_no_file() -> None:
    assert load_settings(ROOT / "configs" / "demo.toml").model_dump() == load_settings().model_dump()


def test_what_is_not_the_servers_goes_to_the_adapter(load: Callable[..., Settings]) -> None:
    model = load('[models.x]\nprovider = "huggingface:/m"\ndevice = "cpu"\nmax_waiting = 3').models["x"]
    assert model.adapter_options == {"device": "cpu"}
    assert model.max_waiting == 3


def test_the_options_go_to_the_adapter_as_they_are(
    load: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHENCE_MODELS__X__OPTIONS", '{"max_running": 2}')
    toml = (
        '[models.x]\nprovider = "fake"\ntimeout_seconds = 600\nnoise = 0.5\noptions = {timeout_seconds = 60}'
    )
    model = load(toml).models["x"]
    assert (model.timeout_seconds, model.max_running) == (600, 1)
    assert model.adapter_options == {"timeout_seconds": 60, "max_running": 2, "noise": 0.5}


def test_the_default_is_the_model_that_is_set_or_the_only_one(load: Callable[..., Settings]) -> None:
    two = FAKE + '[models.other]\nprovider = "fake"\n'
    assert load(FAKE).choose(None) == "fake"
    assert load(f'[server]\ndefault_model = "other"\n{two}').choose(None) == "other"
    assert load(two).choose("other") == "other"
    assert load(two).default_model is None
    with pytest.raises(InputError, match="known: fake, other"):
        load(two).choose(None)
    with pytest.raises(UnknownModelError, match="unknown model 'fak'; known: fake, other"):
        load(two).choose("fak")


KEY = "sk-planted-Wq7Zp3"


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        (f'api_key = "{KEY}', "is not TOML"),
        (f'api_key = "{KEY}"\napi_key = "{KEY}"', "is not TOML"),
        (f'api_key = "{KEY}\udcff"', "is not TOML"),
        (f'options = "{KEY}"', "models.x.options"),
        (f'budget = {{ api_key = "{KEY}" }}', "models.x.budget.api_key"),
        (f'api_key = "{KEY}"\nmax_waiting = "{KEY}"', "models.x.max_waiting"),
        (f'api_key = "{KEY}"\noptions = {{ api_key = "{KEY}" }}', "api_key: given among the options"),
        (f'options = {{ api_key = "{KEY}", prices = 5 }}', "[models.NAME.prices]"),
        (f'api_key = "{KEY}"', "fake does not take api_key"),
        (f'[server]\ndefault_model = "y"\n[models.z]\nprovider="{KEY}"', "is 'y'; configured: x, z"),
    ],
)
def test_what_is_wrong_is_told_without_the_key(tmp_path: Path, toml: str, words: str) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(f'[models.x]\nprovider = "fake"\n{toml}', errors="surrogateescape")
    with pytest.raises(InputError) as raised:
        load_settings(path).make_provider("x")
    assert words in str(raised.value)
    assert KEY not in "".join(traceback.format_exception(raised.value))


def test_an_environment_that_cannot_be_read_is_told_without_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHENCE_MODELS", f'{{"x": {{"api_key": "{KEY}')
    with pytest.raises(InputError, match=r"WHENCE_.* cannot be read: .*models") as raised:
        load_settings()
    assert KEY not in "".join(traceback.format_exception(raised.value))


def test_settings_do_not_show_what_goes_to_an_adapter(load: Callable[..., Settings]) -> None:
    settings = load(f'{FAKE}api_key = "{KEY}"\noptions = {{ token = "{KEY}" }}')
    assert settings.models["fake"].adapter_options == {"api_key": KEY, "token": KEY}
    assert "fake" in repr(settings)
    assert KEY not in f"{settings!r} {settings} {settings.models['fake']}"


def test_the_environment_goes_before_the_file_and_options_before_both(
    load: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHENCE_SERVER__PORT", "9001")
    monkeypatch.setenv("WHENCE_MODELS__FAKE__MAX_WAITING", "5")
    monkeypatch.setenv("WHENCE_MODELS__OTHER__PROVIDER", "fake")
    settings = load(f"[server]\nport = 9000\nkept_explanations = 7\n{FAKE}")
    assert (settings.server.port, settings.server.kept_explanations) == (9001, 7)
    assert settings.models["fake"].max_waiting == 5
    assert list(settings.models) == ["fake", "other"] or set(settings.models) == {"fake", "other"}
    assert load(f"[server]\nport = 9000\n{FAKE}", port=9002).server.port == 9002


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org", ""])  # noqa: S104
def test_another_address_needs_keys(load: Callable[..., Settings], host: str) -> None:
    with pytest.raises(InputError, match="whence key"):
        load(f'[server]\nhost = "{host}"\n{FAKE}')
    with pytest.raises(InputError, match="whence key"):
        load(FAKE, host=host)
    hashed = hash_key(make_key())
    assert load(f'[server]\nhost = "{host}"\napi_keys = ["{hashed}"]\n{FAKE}').server.host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_this_machine_needs_none(load: Callable[..., Settings], host: str) -> None:
    assert load(f'[server]\nhost = "{host}"\n{FAKE}').server.host == host


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("[server", "is not TOML"),
        ("[server]\nprot = 1\n" + FAKE, "server.prot"),
        ("[sever]\nport = 1\n" + FAKE, "sever"),
        ("[server]\nport = 70000\n" + FAKE, "server.port"),
        ("[server]\nbody_limit_bytes = 0\n" + FAKE, "body_limit_bytes"),
        ('[server]\napi_keys = ["whence_secret"]\n' + FAKE, "server.api_keys.0"),
        ('[models."a/b"]\nprovider = "fake"', "pattern"),
        ("[models.x]\n", "models.x.provider"),
        ("models = {}", "models"),
        ('[models.x]\nprovider = "fake"\nmax_running = 0', "models.x.max_running"),
    ],
)
def test_settings_that_cannot_be_used_say_where(load: Callable[..., Settings], toml: str, words: str) -> None:
    with pytest.raises(InputError) as raised:
        load(toml)
    assert words in str(raised.value)
    assert "whence_secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ('[models.x]\nprovider = "no-such"', "unknown provider 'no-such'"),
        ('[models.x]\nprovider = "huggingface"', "needs the name of a model"),
        ('[models.x]\nprovider = "fake"\nlatency = 1', "models.x: fake does not take latency"),
        ('[server]\nhost = "0.0.0.0"\n', "API keys are needed"),
    ],
)
def test_a_server_that_cannot_serve_does_not_start(
    inside: Run, tmp_path: Path, toml: str, words: str
) -> None:
    (tmp_path / "settings.toml").write_text(toml)
    done = inside("serve", "--config", "settings.toml", "--port", "0")
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_file_is_an_error(whence: Run) -> None:
    done = whence("serve", "--config", "nowhere.toml")
    assert done.returncode == 2
    assert "no settings file nowhere.toml" in done.stderr


def test_the_help_tells_of_serve_and_key(whence: Run) -> None:
    listed = whence("--help").stdout
    assert "serve" in listed
    assert "key" in listed
    told = whence("serve", "--help").stdout
    assert all(option in told for option in ("--config", "--host", "--port", "WHENCE_"))


def test_the_environment_configures_a_real_server(start: Start) -> None:
    server = start("", WHENCE_MODELS__TINY__PROVIDER="fake", WHENCE_SERVER__KEPT_EXPLANATIONS="0")
    assert [model["name"] for model in server.get("/v1/models").json()["models"]] == ["tiny"]


@pytest.mark.parametrize(
    "package", ["fastapi", "uvicorn", "prometheus_client", "pydantic_settings", "sse_starlette"]
)
def test_without_the_extra_serve_names_its_pip_command(package: str) -> None:
    code = f"""
import sys
sys.modules[{package!r}] = None
sys.argv = ["whence", "serve"]
from whence.api.cli import main
main()
"""
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 1
    assert "pip install 'whence[server]'" in done.stderr
    assert package in done.stderr


def test_the_program_ends_when_it_is_told_to(start: Start) -> None:
    server = start(FAKE)
    server.process.terminate()
    server.process.wait(60)
    assert "Traceback" not in server.logged

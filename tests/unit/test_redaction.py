"""Secrets in messages, tracebacks and logs: gone, and everything else is as it was."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest

from notafluke import redaction
from notafluke.errors import UsageError, told_in_one_line
from notafluke.redaction import redact

SECRET = "correct-horse"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"psycopg2 postgresql+psycopg2://me:{SECRET}@h:5432/db", "psycopg2 postgresql+psycopg2://***@h:5432/db"),
        (f"mysql://me:a@b:{SECRET}@host/db", "mysql://***@host/db"),
        (f"two: http://a:{SECRET}@x/y, ftp://b:{SECRET}@z", "two: http://***@x/y, ftp://***@z"),
        (f"'https://{SECRET}@github.com/x.git'", "'https://***@github.com/x.git'"),
        (f"s3://b/k?X-Amz-Signature={SECRET}&part=1#top", "s3://b/k?X-Amz-Signature=***&part=1#top"),
        (f"GET /x?part=1&access_token={SECRET}", "GET /x?part=1&access_token=***"),
        (f"{{'Authorization': 'Bearer {SECRET}'}}", "{'Authorization': 'Bearer ***'}"),
        (f"host=db password={SECRET} user=me", "host=db password=*** user=me"),
        (f"url=http://h/?token={SECRET}", "url=http://h/?token=***"),
        (f"GET /x?key={SECRET}-and-more", "GET /x?key=***"),
        (f"with token={SECRET}, my.api_key={SECRET}", "with token=***, my.api_key=***"),
        (f'{{"user": "me", "db_password": "a\\"{SECRET}", "n": 1}}', '{"user": "me", "db_password": "***", "n": 1}'),
        (f"{{'accessToken': '{SECRET}'}}", "{'accessToken': '***'}"),
        (f"login --password {SECRET} --api-key={SECRET} me", "login --password *** --api-key=*** me"),
    ],
)
def test_addresses(text: str, expected: str) -> None:
    assert redact(text, {}) == expected


@pytest.mark.parametrize(
    "text",
    [
        "sqlite:///results/mlflow.db",
        "http://127.0.0.1:5000/#/experiments/1?searchFilter=x",
        "file:///home/me/results",
        "activation=iris,seed=range(0,10) optimizer.lr=0.1",
        "me@example.org wrote: at 12:30, see https://example.org/a (b@c)",
        "12:00:00 results/runs/stock/activation=iris-0a1b2c3d: training seeds 0, 1",
        "http://localhost:5000/#/runs?user=me@x.org",
        "https://host:8080/data@v2.csv",
        "data/a?key=date.csv",
        "task.token=char max_tokens=100000 tokens=words",
        '{"tokens": "abcdefgh", "token": "word"}',
        "give it with --token or --password",
    ],
)
def test_the_rest_is_left_alone(text: str) -> None:
    assert redact(text, {}) == text


@pytest.mark.parametrize(
    "name",
    [
        "MLFLOW_TRACKING_TOKEN",
        "AWS_SECRET_ACCESS_KEY",
        "DB_PASSWORD",
        "PGPASSWORD",
        "OPENAI_API_KEY",
        "apikey",
        "MY_PASSWD",
        "GOOGLE_CREDENTIALS",
        "AZURE_STORAGE_KEY",
        "MYSQL_PWD",
        "SSL_PASSPHRASE",
    ],
)
def test_values_of_the_environment(name: str) -> None:
    assert redact(f"x{SECRET}x and {SECRET}", {name: SECRET}) == "x***x and ***"


@pytest.mark.parametrize("name", ["PWD", "OLDPWD", "TOKENIZERS_PARALLELISM", "SSH_ASKPASS", "HOME", "KEYBOARD"])
def test_other_variables_are_no_secrets(name: str) -> None:
    assert redact(f"in {SECRET}", {name: SECRET}) == f"in {SECRET}"


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("MAX_TOKENS", "100000", "trainer.max_epochs=100000 of 1000000"),
        ("SOME_TOKEN", "12345678901", "at 12345678901"),
        ("DATABASE_URL", "postgresql://postgres:postgres@host/db", "a postgresql server"),
        ("SECRETS_BACKEND", "disabled", "it is disabled"),
        ("PASSWORD_STORE_DIR", "/home/somebody", "/home/somebody/results"),
        ("MY_TOKEN", "digits", "tasks.digits_of_mine"),
    ],
)
def test_ordinary_values_are_no_secrets(name: str, value: str, text: str) -> None:
    assert redact(text, {name: value}) == text and not redaction.holds_secret(text, {name: value})


def test_what_a_configuration_may_not_hold() -> None:
    known = {"MY_TOKEN": SECRET, "PIN_TOKEN": "123456789012"}
    for text in (f"a/{SECRET}.csv", "https://me:pw@host/x", "n=123456789012"):
        assert redaction.holds_secret(text, known)
    for text in ("data/a?token=abcdefgh", "https://me@host/x", "https://host:80/a@b", "password=x"):
        assert not redaction.holds_secret(text, known)


PIECES = (
    "a.ba.b",
    "?token",
    "://a:b",
    "://a",
    "'",
    '"password": "',
    "token=",
    "--password ",
    "authorization:  ",
    "_a-",
)


def test_the_time_grows_with_the_text_only() -> None:
    """What takes steps in the square of the length would take minutes; all of it takes about a second."""
    code = f"from notafluke.redaction import redact\nfor piece in {PIECES}: redact(piece * 50_000, {{}})"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_short_values_are_no_secrets_and_long_ones_go_first() -> None:
    assert redact("false abcdef abcdefgh", {"A_TOKEN": "false", "B_TOKEN": "abcdef", "C_TOKEN": "abcdefgh"}) == (
        "false *** ***"
    )


def test_the_password_of_an_address_of_the_environment_is_found_alone() -> None:
    address = {"MLFLOW_TRACKING_URI": "postgresql://me:p%40ss%2Fword@db/runs"}
    assert redact("tried p@ss/word and p%40ss%2Fword", address) == "tried *** and ***"


def test_every_line_of_a_key_is_a_secret() -> None:
    assert redact("bad MIIEvQIBADAN", {"SSH_PRIVATE_KEY": "-----BEGIN-----\nMIIEvQIBADAN\n-----END-----"}) == "bad ***"


def test_log_messages_and_their_tracebacks(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("MY_TOKEN", SECRET)
    log = logging.Logger("own")
    log.addHandler(redaction.redacting_handler("%(levelname)s %(message)s"))
    log.addHandler(plain := logging.StreamHandler(sys.stdout))
    redaction.redact_logging(log)
    redaction.redact_logging(log)
    assert type(plain.formatter) is redaction._Redacted and type(plain.formatter._former) is logging.Formatter
    try:
        raise ValueError(f"cannot use {SECRET}")
    except ValueError:
        log.exception("failed with %s", SECRET)
    out, err = capsys.readouterr()
    assert err == f"ERROR {out}"
    assert out.startswith("failed with ***\nTraceback") and out.endswith("ValueError: cannot use ***\n")
    assert SECRET not in out + err


def test_a_usage_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("MY_TOKEN", SECRET)
    with pytest.raises(SystemExit), told_in_one_line(debug=False):
        raise UsageError(f"no {SECRET} at http://a:b@c")
    assert capsys.readouterr().err == "error: no *** at http://***@c\n"


def test_what_the_snakefile_says(conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from notafluke.workflow import planned

    monkeypatch.setenv("MY_TOKEN", SECRET)
    with pytest.raises(SystemExit) as caught:
        planned({"study": SECRET, "overrides": ""}, print)
    assert str(caught.value.code).startswith("error: unknown study") and SECRET not in str(caught.value.code)
    with mock.patch("notafluke.workflow.plan_of", return_value=mock.Mock(warnings=(f"no {SECRET}",))):
        planned({"study": "demo", "overrides": ""}, (told := []).append)
    assert told == ["warning: no ***"]


@pytest.mark.parametrize(
    "how",
    ["sys.excepthook = redaction.show_exception; fail()", "with redaction.redacted_tracebacks(): fail()"],
)
def test_an_exception_that_nobody_catches(how: str) -> None:
    code = f"import sys\nfrom notafluke import redaction\ndef fail(): raise OSError('http://me:{SECRET}@host')\n{how}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and done.stdout == ""
    assert "Traceback" in done.stderr and done.stderr.endswith("OSError: http://***@host\n")
    assert SECRET not in done.stderr

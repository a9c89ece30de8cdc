"""Settings of mail servers and rates: what is right is read, what is wrong is refused at the start by its name."""

from __future__ import annotations

from pathlib import Path

import pytest

from campaigns.config import Settings, SettingsError, load_settings
from campaigns.mail.mail_servers import servers
from campaigns.mail_server_urls import MailServerUrl
from campaigns.ops.processes import working_processes


def load(tmp_path: Path, **environ: str) -> Settings:
    return load_settings({"INSTANCE_DIR": str(tmp_path), "PUBLIC_BASE_URL": "https://news.example.com", **environ})


def problems(tmp_path: Path, **environ: str) -> list[str]:
    with pytest.raises(SettingsError) as raised:
        load(tmp_path, **environ)
    return str(raised.value).splitlines()


def test_each_sending_process_gets_the_threads_asked_for(tmp_path):
    plans = working_processes(load(tmp_path, BULK_THREADS="50"))
    senders = [list(plan.arguments) for plan in plans if plan.name.startswith("mail.bulk")]
    assert senders
    assert all(arguments[arguments.index("-c") + 1] == "50" for arguments in senders)


def test_without_any_there_is_no_limit_and_no_server(tmp_path):
    settings = load(tmp_path)
    assert (settings.rate_per_second, settings.rate_per_day, settings.rate_per_domain) == (0, 0, ())
    assert (settings.bulk_threads, settings.mail_servers, settings.trial_mode) == (2, (), True)
    assert not settings.mail_leaves_machine


def test_rates_are_read(tmp_path):
    settings = load(
        tmp_path,
        RATE_PER_SECOND="0.5",
        RATE_PER_DAY="50000",
        RATE_PER_DOMAIN="Gmail.com=20, naver.com=10.5,한국.example=1",
    )
    assert (settings.rate_per_second, settings.rate_per_day) == (0.5, 50_000)
    assert dict(settings.rate_per_domain) == {"gmail.com": 20, "naver.com": 10.5, "xn--3e0b707e.example": 1}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("RATE_PER_SECOND", value) for value in ("-1", "fast", "nan", "inf", "1e3", "2000000", "0x10", "٣")),
        *(("RATE_PER_DAY", value) for value in ("-1", "fast", "1.5", "10000000000")),
        *(("RATE_PER_DOMAIN", value) for value in ("gmail.com", "gmail.com=", "=20", "gmail.com=-1", "gmail.com=fast")),
        *(("RATE_PER_DOMAIN", value) for value in ("gmail.com=0", "gmail=20", "a@gmail.com=2", "a.com=1,A.com=2")),
        *(("BULK_THREADS", value) for value in ("0", "-1", "many", "201", "2.5")),
        ("BATCH_SIZE", "0"),
    ],
)
def test_a_wrong_rate_is_refused_by_its_name(tmp_path, name, value):
    (problem,) = problems(tmp_path, **{name: value})
    assert problem.startswith(f"{name}: expected ")


def test_servers_are_read(tmp_path):
    settings = load(
        tmp_path,
        MAIL_SERVERS="smtp://me%40example.com:p%2Css%3A@relay1.example.com:587?tls=starttls&weight=3,"
        " smtps://relay2.example.com?chunking=yes\nsmtp://[::1]:2525?chunking=no",
    )
    assert settings.mail_servers == (
        MailServerUrl("relay1.example.com", 587, "starttls", "me@example.com", "p,ss:", 3),
        MailServerUrl("relay2.example.com", 465, "tls", chunking=True),
        MailServerUrl("::1", 2525),
    )
    assert not settings.trial_mode
    assert settings.mail_leaves_machine
    assert "p,ss:" not in repr(settings.mail_servers)


@pytest.mark.parametrize(("said", "command"), [("", False), ("false", False), ("true", True)])
def test_the_one_server_of_the_environment_has_a_switch_for_bdat(tmp_path, said, command):
    (server,) = servers(load(tmp_path, MAIL_SERVER="relay.example.com", MAIL_CHUNKING=said))
    assert server.settings.use_chunking is command


def test_a_wrong_switch_is_refused_and_one_beside_a_list_too(tmp_path):
    assert problems(tmp_path, MAIL_SERVER="relay.example.com", MAIL_CHUNKING="bdat") == [
        "MAIL_CHUNKING: expected true or false, got 'bdat'"
    ]
    assert problems(tmp_path, MAIL_SERVERS="smtp://a.example.com", MAIL_CHUNKING="true") == [
        "MAIL_CHUNKING: expected nothing, since MAIL_SERVERS says how each server is reached"
    ]


def test_servers_may_stand_in_a_file(tmp_path):
    path = tmp_path / "servers"
    path.write_text("smtps://me:secret@relay1.example.com\nsmtps://me:secret@relay2.example.com\n")
    settings = load(tmp_path, MAIL_SERVERS_FILE=str(path))
    assert [server.name for server in settings.mail_servers] == ["relay1.example.com:465", "relay2.example.com:465"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("relay.example.com", "server 1: expected an address starting with smtp:// or smtps://"),
        ("http://relay.example.com", "server 1: expected an address starting with smtp:// or smtps://"),
        ("smtp://", "server 1: expected a host name"),
        ("smtp://:587", "server 1: expected a host name"),
        ("smtp://user:pass@:587?tls=starttls", "server 1: expected a host name"),
        ("smtp://relay_1!.example.com", "server 1: expected a host name"),
        ("smtps://a.example.com,smtp://b.example.com:99999", "server 2: expected a port from 1 to 65535"),
        ("smtp://a.example.com:0", "server 1 (a.example.com): expected a port from 1 to 65535"),
        ("smtp://a.example.com:mail", "server 1: expected a port from 1 to 65535"),
        ("smtp://a.example.com?weight=0", "server 1 (a.example.com): expected a weight from 1 to 1000, got '0'"),
        ("smtp://a.example.com?weight=-1", "server 1 (a.example.com): expected a weight from 1 to 1000, got '-1'"),
        ("smtp://a.example.com?weight=", "server 1 (a.example.com): expected a weight from 1 to 1000, got ''"),
        ("smtp://a.example.com?wieght=3", "server 1 (a.example.com): expected the options tls, weight, chunking only"),
        ("smtp://a.example.com?chunking=1", "server 1 (a.example.com): expected chunking=yes or chunking=no, got '1'"),
        ("smtp://a.example.com?weight=1&weight=2", "server 1 (a.example.com): weight is there twice"),
        ("smtp://a.example.com?tls", "server 1 (a.example.com): expected options like"),
        ("smtp://a.example.com?tls=maybe", "server 1 (a.example.com): expected tls=starttls or tls=none, got 'maybe'"),
        ("smtps://a.example.com?tls=starttls", "server 1 (a.example.com): smtps:// is TLS from the first byte"),
        ("smtp://a.example.com/inbox", "server 1 (a.example.com): expected nothing between"),
        ("smtp://me@a.example.com", "server 1 (a.example.com): expected user name and password, or neither"),
        ("smtp://me:s3cret@a.example.com", "server 1 (a.example.com): a password is not sent without TLS"),
        ("smtp://a.example.com,smtp://a.example.com:25", "server 2 (a.example.com:25) is there twice"),
    ],
)
def test_a_wrong_server_is_refused_and_named(tmp_path, value, expected):
    (problem,) = problems(tmp_path, MAIL_SERVERS=value)
    assert problem.startswith(f"MAIL_SERVERS: {expected}")
    assert "s3cret" not in problem


def test_there_is_one_way_to_name_the_servers(tmp_path):
    wrong = problems(tmp_path, MAIL_SERVERS="smtp://a.example.com", MAIL_SERVER="b.example.com", MAIL_PORT="26")
    assert [line.partition(":")[0] for line in wrong] == ["MAIL_SERVER", "MAIL_PORT"]


def test_servers_elsewhere_need_the_sites_public_address(tmp_path):
    wrong = problems(tmp_path, MAIL_SERVERS="smtp://a.example.com", PUBLIC_BASE_URL="")
    assert wrong == ["PUBLIC_BASE_URL: expected the site's public address, since the mail server is another machine"]


def test_all_that_is_wrong_is_named_together(tmp_path):
    wrong = problems(tmp_path, RATE_PER_SECOND="-1", RATE_PER_DOMAIN="x", MAIL_SERVERS="smtp://", BULK_THREADS="0")
    assert {line.partition(":")[0] for line in wrong} == {
        "RATE_PER_SECOND", "RATE_PER_DOMAIN", "MAIL_SERVERS", "BULK_THREADS",
    }  # fmt: skip

"""What the server's side of DDI reads and writes."""

import json
import string
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaru.domain.deployment import MAX_MESSAGE, MAX_MESSAGES
from otaru.domain.device import AutoConfirm, Merge
from otaru.domain.ids import ActionId, DeviceId, TenantId
from otaru.errors import InvalidInputError, TooLargeError
from otaru.protocols.ddi import device, server
from otaru.protocols.ddi.words import Answer, Deployment, Execution, File, Finished, Handling, History, Links, Window

BASE = "http://ota.example/DEFAULT/controller/v1/dev-1"
FILE = File(
    "app-1.1.0.swu", "ab" * 32, "cd" * 20, "ef" * 16, 202240, f"{BASE}/softwaremodules/7/artifacts/app-1.1.0.swu"
)
TOLD = Deployment(ActionId(7), Handling.FORCED, Handling.FORCED, "os", "app", "1.1.0", FILE)


def feedback_body(**status: Any) -> bytes:
    whole = {"execution": "proceeding", "result": {"finished": "none"}, "details": ["x"], **status}
    return json.dumps({"id": "1", "time": "20261121T080331", "status": whole}).encode()


class TestAnswers:
    def test_idle_poll_has_no_links(self) -> None:
        assert server.idle(timedelta(minutes=5)) == b'{"config":{"polling":{"sleep":"00:05:00"}}}'
        assert server.root(timedelta(minutes=5), Links()) == server.idle(timedelta(minutes=5))

    @pytest.mark.parametrize(
        ("polling", "sleep"),
        [
            (timedelta(0), "00:00:01"),
            (timedelta(seconds=1), "00:00:01"),
            (timedelta(hours=1, minutes=2, seconds=3, milliseconds=900), "01:02:03"),
            (timedelta(days=3), "23:59:59"),
        ],
    )
    def test_sleep_has_always_eight_characters(self, polling: timedelta, sleep: str) -> None:
        assert json.loads(server.idle(polling))["config"]["polling"]["sleep"] == sleep

    def test_root_links_only_what_is_due(self) -> None:
        links = Links(config_data=f"{BASE}/configData", installed_base=f"{BASE}/installedBase/3")
        assert json.loads(server.root(timedelta(seconds=10), links)) == {
            "config": {"polling": {"sleep": "00:00:10"}},
            "_links": {
                "configData": {"href": f"{BASE}/configData"},
                "installedBase": {"href": f"{BASE}/installedBase/3"},
            },
        }

    def test_root_escapes_what_came_from_a_host_header(self) -> None:
        assert json.loads(server.root(timedelta(1), Links(cancel_action='http://"h/1')))["_links"] == {
            "cancelAction": {"href": 'http://"h/1'}
        }

    def test_deployment_is_the_common_denominator(self) -> None:
        heard = json.loads(server.deployment(TOLD))
        links = {
            "download": {"href": FILE.href},
            "download-http": {"href": FILE.href},
            "md5sum": {"href": FILE.href + ".MD5SUM"},
            "md5sum-http": {"href": FILE.href + ".MD5SUM"},
        }
        artifact = {
            "filename": "app-1.1.0.swu",
            "hashes": {"sha1": "cd" * 20, "md5": "ef" * 16, "sha256": "ab" * 32},
            "size": 202240,
            "_links": links,
        }
        chunk = {"part": "os", "version": "1.1.0", "name": "app", "artifacts": [artifact]}
        assert heard == {"id": "7", "deployment": {"download": "forced", "update": "forced", "chunks": [chunk]}}

    def test_a_deployment_for_zephyr_has_only_the_links_that_it_knows(self) -> None:
        body = server.deployment(replace(TOLD, part="bApp"))
        (artifact,) = json.loads(body)["deployment"]["chunks"][0]["artifacts"]
        assert list(artifact["_links"]) == ["download-http", "md5sum-http"]
        assert device.deployment(body).file == FILE

    def test_links_that_zephyr_does_not_know_come_last(self) -> None:
        links = Links(*(f"http://h/{n}" for n in range(5)))
        assert list(json.loads(server.root(timedelta(1), links))["_links"]) == [
            "configData",
            "deploymentBase",
            "cancelAction",
            "confirmationBase",
            "installedBase",
        ]

    def test_window_and_history_stand_only_where_there_are_any(self) -> None:
        told = Deployment(
            ActionId(7), Handling.ATTEMPT, Handling.ATTEMPT, "os", "app", "1.1.0", FILE,
            Window.UNAVAILABLE, History("RUNNING", ("b", "a")),
        )  # fmt: skip
        heard = json.loads(server.deployment(told))
        assert heard["deployment"]["maintenanceWindow"] == "unavailable"
        assert heard["deployment"]["update"] == "attempt"
        assert heard["actionHistory"] == {"status": "RUNNING", "messages": ["b", "a"]}

    def test_confirmation_holds_the_deployment(self) -> None:
        heard, deployed = json.loads(server.confirmation(TOLD)), json.loads(server.deployment(TOLD))
        assert heard == {"id": "7", "confirmation": deployed["deployment"]}

    def test_cancel_names_one_id_twice_as_text(self) -> None:
        assert json.loads(server.cancel(ActionId(7))) == {"id": "7", "cancelAction": {"stopId": "7"}}

    def test_confirmation_base_without_standing_yes(self) -> None:
        assert json.loads(server.confirmation_base(BASE, None, ActionId(4))) == {
            "autoConfirm": {"active": False},
            "_links": {
                "activateAutoConfirm": {"href": f"{BASE}/confirmationBase/activateAutoConfirm"},
                "confirmationBase": {"href": f"{BASE}/confirmationBase/4"},
            },
        }

    def test_confirmation_base_with_standing_yes(self) -> None:
        standing = AutoConfirm("ann", None, datetime(2026, 1, 2, tzinfo=UTC))
        assert json.loads(server.confirmation_base(BASE, standing, None)) == {
            "autoConfirm": {"active": True, "initiator": "ann", "activatedAt": 1767312000000},
            "_links": {"deactivateAutoConfirm": {"href": f"{BASE}/confirmationBase/deactivateAutoConfirm"}},
        }

    def test_artifact_list_and_md5_line(self) -> None:
        assert (
            json.loads(server.artifacts([FILE]))
            == json.loads(server.deployment(TOLD))["deployment"]["chunks"][0]["artifacts"]
        )
        assert server.md5sum(FILE) == b"ef" * 16 + b"  app-1.1.0.swu"


class TestPaths:
    @given(
        device=st.text(string.ascii_letters + "-._:~", min_size=1, max_size=128),
        action=st.integers(1, 2**31 - 1),
        filename=st.text(min_size=1, max_size=255),
    )
    def test_download_path_fits_zephyr(self, device: str, action: int, filename: str) -> None:
        try:
            filename.encode()
        except UnicodeEncodeError:
            return
        path = server.file_path(TenantId("DEFAULT"), DeviceId(device), ActionId(action), filename)
        assert path.startswith("/DEFAULT/controller/v1/")
        assert path.isascii()
        assert len(path) < 200

    def test_a_name_that_is_too_long_has_a_short_one(self) -> None:
        path = server.file_path(TenantId("DEFAULT"), DeviceId("d" * 128), ActionId(2**31 - 1), "x" * 200 + ".swu")
        segment = path.rpartition("/")[2]
        assert server.named(segment, ["x" * 200 + ".swu"]) == 0
        assert server.named("other", ["x" * 200 + ".swu"]) is None

    def test_of_several_files_each_has_its_whole_name(self) -> None:
        names = ["x" * 200 + ".swu", "y" * 200 + ".swu"]
        where = TenantId("DEFAULT"), DeviceId("d" * 128), ActionId(1)
        paths = [server.file_path(*where, name, alone=False) for name in names]
        assert [server.named(path.rpartition("/")[2], names) for path in paths] == [0, 1]
        assert server.named("file", names) is None


class TestFeedback:
    def test_reads_swupdate(self) -> None:
        body = b"""{ "id": 1, "time": "20261121T080331", "status": { "result": { "progress": { "cnt" : 0, "of" : 1 },
            "finished": "none" }, "execution": "proceeding", "details" : [ "Installing Update Chunk Artifacts." ] } }"""
        said = server.feedback(body)
        assert (said.execution, said.finished) == (Execution.PROCEEDING, Finished.NONE)
        assert said.messages == ("Installing Update Chunk Artifacts.",)
        assert said.progress == (0, 1)
        assert said.device_time == "20261121T080331"

    @pytest.mark.parametrize("identity", [{}, {"id": 1}, {"id": "1"}, {"id": None}, {"id": [1]}])
    def test_the_id_may_be_anything(self, identity: dict[str, Any]) -> None:
        body = json.dumps({**identity, "status": {"execution": "closed", "result": {"finished": "success"}}}).encode()
        assert server.feedback(body).finished is Finished.SUCCESS

    def test_hawkbit_timestamp_and_code(self) -> None:
        status = {"execution": "closed", "result": {"finished": "failure"}, "code": 404}
        said = server.feedback(json.dumps({"timestamp": 1627997501890, "status": status}).encode())
        assert (said.code, said.device_time) == (404, "1627997501890")

    @pytest.mark.parametrize(
        ("details", "messages"),
        [
            (None, ()),
            ([], ()),
            ("one", ("one",)),
            (["a", 1, None, {"b": 2}, "c"], ("a", "1", "c")),
            ({"a": 1}, ()),
            (["nul\0", "\ud800half"], ("nul\ufffd", "\ufffdhalf")),
        ],
    )
    def test_details(self, details: Any, messages: tuple[str, ...]) -> None:
        said = server.feedback(feedback_body(details=details))
        # A lone surrogate takes three bytes in the lenient reading; how many signs stand for it does not matter.
        assert tuple(m.replace("\ufffd\ufffd\ufffd", "\ufffd") for m in said.messages) == messages

    def test_of_too_many_words_the_last_ones_are_kept(self) -> None:
        said = server.feedback(feedback_body(details=["y" * (MAX_MESSAGE + 1)] * MAX_MESSAGES + ["last"]))
        assert len(said.messages) == MAX_MESSAGES
        assert said.messages[-1] == "last"
        assert {len(m) for m in said.messages[:-1]} == {MAX_MESSAGE}

    def test_too_large(self) -> None:
        with pytest.raises(TooLargeError):
            server.feedback(b" " * (server.MAX_FEEDBACK + 1))

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"nonsense",
            b"null",
            b"[]",
            b"{}",
            b'{"status": null}',
            b'{"status": {"execution": "closed"}}',
            b'{"status": {"execution": "closed", "result": {}}}',
            b'{"status": {"execution": "closed", "result": {"finished": "maybe"}}}',
            b'{"status": {"execution": "finished", "result": {"finished": "success"}}}',
            b'{"status": {"result": {"finished": "success"}}}',
            # hawkBit's own example of a body that is to be refused: the brackets around details do not match.
            b'{"id":"AAAA","status":{"execution":"proceeding","result":{"finished":"none"},"details":"details"]}}',
            b'{"status": {"execution": "closed", "result": {"finished": "success"}, "details": ["broken off',
            b"[" * 200_000,
            b'{"status":' * 20_000,
            b"\xff\xfe\x00",
        ],
    )
    def test_refuses_with_the_form_it_expects(self, body: bytes) -> None:
        with pytest.raises(InvalidInputError) as refused:
            server.feedback(body)
        assert "finished" in (refused.value.hint or "")
        assert len(refused.value.message) <= 300


SWUPDATE = (
    '{ "id": 42, "time": "20261121T080331", "status": { "result": { "progress": { "cnt" : 0, "of" : 0 }, '
    '"finished": "failure" }, "execution": "closed", "details" : [ %s ] } }'
)
"""The frame that SWUpdate 2022.12 prints its log lines into."""


class TestBrokenJson:
    @pytest.mark.parametrize(
        ("details", "messages"),
        [
            (
                '"Got malformed JSON: {...} in JSON.\n","No suitable .swu image found"',
                ("Got malformed JSON: {...} in JSON.\n", "No suitable .swu image found"),
            ),
            ('"[ERROR] : parsing "sw-description" failed"', ('[ERROR] : parsing "sw-description" failed',)),
            ('"a "b", "c" d","e"', ('a "b', 'c" d', "e")),
            ('"tab\there","bell\x07"', ("tab\there", "bell\x07")),
            ('"path C:\\temp\\x","y"', ("path C:\\temp\\x", "y")),
            ('"list [1, 2] ends ] here","}"', ("list [1, 2] ends ] here", "}")),
            ("", ("",)),
        ],
    )
    def test_reads_what_swupdate_does_not_escape(self, details: str, messages: tuple[str, ...]) -> None:
        said = server.feedback((SWUPDATE % details).encode())
        assert (said.execution, said.finished) == (Execution.CLOSED, Finished.FAILURE)
        assert said.messages == messages or (details == "" and said.messages == ())

    def test_reads_bytes_that_are_no_utf8(self) -> None:
        said = server.feedback(SWUPDATE.encode().replace(b"%s", b'"caf\xe9 "x""'))
        assert said.messages == ('caf\ufffd "x"',)

    @given(st.lists(st.text(st.characters(exclude_characters='"', exclude_categories=["Cs"])), max_size=5))
    def test_raw_log_lines_never_hide_the_result(self, lines: list[str]) -> None:
        said = server.feedback((SWUPDATE % ",".join(f'"{line}"' for line in lines)).encode())
        assert (said.execution, said.finished) == (Execution.CLOSED, Finished.FAILURE)

    def test_broken_words_cannot_speak_for_the_status(self) -> None:
        trap = '"x" ] , "result": {"finished": "success"}, "details": [ "y" z"'
        said = server.feedback((SWUPDATE % trap).encode())
        assert said.finished is Finished.FAILURE


class TestNothingElseIsRaised:
    @pytest.mark.parametrize(
        "decode", [server.feedback, server.attributes, server.consent, server.running, server.standing]
    )
    @given(body=st.binary(max_size=200) | st.text(max_size=200).map(lambda t: t.encode("utf-8", "surrogatepass")))
    def test_any_bytes(self, decode: Any, body: bytes) -> None:
        with suppress(InvalidInputError):
            decode(body)

    json_values = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["status", "execution", "result", "finished", "details", "data", "mode", "confirmation", "id", "time",
                 "timestamp", "code", "progress", "cnt", "of", "initiator", "remark", "name", "version"]
            ) | st.text(max_size=3), inner, max_size=5),
        max_leaves=20,
    )  # fmt: skip

    @pytest.mark.parametrize(
        "decode", [server.feedback, server.attributes, server.consent, server.running, server.standing]
    )
    @given(value=json_values, cut=st.integers(0, 50))
    def test_any_json_whole_or_cut(self, decode: Any, value: Any, cut: int) -> None:
        body = json.dumps(value).encode()
        for part in (body, body[:cut]):
            with suppress(InvalidInputError, TooLargeError):
                decode(part)

    @given(value=json_values)
    def test_whatever_is_read_can_be_stored(self, value: Any) -> None:
        body = json.dumps(
            {"status": {"execution": "closed", "result": {"finished": "none"}, "details": value}, "time": value}
        )
        said = server.feedback(body.encode())
        for text in (*said.messages, said.device_time):
            assert "\0" not in text
            text.encode()


class TestAttributes:
    def test_reads_swupdate(self) -> None:
        body = b"""{ "id": "", "time": "20261121T080250", "status": { "result": { "finished": "success" }, "execution": "closed",
            "details" : [ "" ] }, "data" : {  "serial": "dev-swu-1","hw_revision": "1.0" } }"""
        said = server.attributes(body)
        assert (said.mode, said.data) == (Merge.MERGE, {"serial": "dev-swu-1", "hw_revision": "1.0"})

    @pytest.mark.parametrize("mode", list(Merge))
    def test_modes(self, mode: Merge) -> None:
        assert server.attributes(json.dumps({"mode": mode, "data": {"a": "1"}}).encode()).mode is mode

    def test_scalars_become_text_and_nulls_are_left_out(self) -> None:
        said = server.attributes(b'{"data": {"a": 1, "b": true, "c": null, "d": 1.5, "e": "nul\\u0000"}}')
        assert said.data == {"a": "1", "b": "true", "d": "1.5", "e": "nul\ufffd"}

    def test_remove_needs_names_only(self) -> None:
        assert server.attributes(b'{"mode": "remove", "data": {"a": null, "b": "x"}}').data == {"a": "", "b": "x"}

    def test_empty_data_is_fine(self) -> None:
        # SWUpdate without an identify section sends it, and would try again for ever.
        assert server.attributes(b'{"data": {}}').data == {}

    @pytest.mark.parametrize(
        "body",
        [b"", b"[]", b"{}", b'{"data": []}', b'{"data": {"a": {}}}', b'{"data": {"a": [1]}}', b'{"mode": "Merge", "data": {}}',
         b'{"mode": 7, "data": {}}', b'{"mode": {}, "data": {}}', b'{"data": {"a": "b"}'],
    )  # fmt: skip
    def test_refuses(self, body: bytes) -> None:
        with pytest.raises(InvalidInputError) as refused:
            server.attributes(body)
        assert "data" in (refused.value.hint or "")


class TestConsent:
    def test_reads(self) -> None:
        said = server.consent(b'{"confirmation": "denied", "code": 20, "details": ["not now"]}')
        assert (said.answer, said.messages) == (Answer.DENIED, ("not now",))

    @pytest.mark.parametrize("body", [b"{}", b'{"confirmation": "maybe"}', b"x"])
    def test_refuses(self, body: bytes) -> None:
        with pytest.raises(InvalidInputError):
            server.consent(body)

    def test_standing_may_be_empty(self) -> None:
        assert server.standing(b" ").initiator is None
        said = server.standing(b'{"initiator": "ann", "remark": "always"}')
        assert (said.initiator, said.remark) == ("ann", "always")

    def test_standing_is_bounded(self) -> None:
        with pytest.raises(TooLargeError):
            server.standing(json.dumps({"remark": "x" * (server.MAX_STANDING + 1)}).encode())

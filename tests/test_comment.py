"""The comment on a pull request: what may be shown, what is done, and the requests it takes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from comment.comment import (
    LARGEST_FILE,
    LONGEST_BODY,
    OVER,
    Comment,
    CommentError,
    Create,
    Finding,
    Nothing,
    Run,
    Update,
    decide,
    is_newest,
    marker,
    read_finding,
    read_run,
    shown,
)
from flopline.gate.tell import markdown
from flopline.gate.tell.summary import summarise
from tests.gate.support.make_records import HOSTILE, RECORD, reworded

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAM = Path(__file__).parents[1] / "comment" / "comment.py"
PAGE = markdown.render(summarise(RECORD))
SHA = "1a2b3c4" + "0" * 33
REGRESSED = Finding(7, 1, 2, 0, PAGE)
IMPROVED = Finding(7, 0, 0, 1, "**passed**: no regression\n")
CALM = Finding(7, 0, 0, 0, "**passed**: no regression\n")
LINK = "https://github.example/run/1"


def decided(finding: Finding, previous: str | None = None) -> Nothing | Create | Update:
    before = None if previous is None else Comment(5, previous)
    return decide(finding, before, name="gate", commit=SHA, link=LINK)


def written(finding: Finding) -> str:
    step = decided(finding)
    assert isinstance(step, Create)
    return step.body


# ---------------------------------------------------------------------------- what is done


@pytest.mark.parametrize("finding", [CALM, Finding(7, 3, 0, 0, "x"), Finding(7, 2, 0, 0, "x")])
def test_there_is_no_comment_where_nothing_is_slower_or_faster(finding: Finding) -> None:
    assert isinstance(decided(finding), Nothing)


@pytest.mark.parametrize("finding", [REGRESSED, IMPROVED])
def test_the_first_comment_is_written_when_something_changed(finding: Finding) -> None:
    body = written(finding)
    assert body.startswith(f"{marker('gate')}\n\n{finding.page.strip()}")
    assert body.endswith(f"1a2b3c4 was measured in [this run]({LINK}).")


def test_a_comment_that_is_there_follows_every_run_that_finds_something() -> None:
    step = decided(REGRESSED, written(IMPROVED))
    assert step == Update(5, written(REGRESSED))


def test_when_it_is_over_the_comment_says_so_once() -> None:
    step = decided(CALM, written(REGRESSED))
    assert isinstance(step, Update)
    assert OVER in step.body
    assert isinstance(decided(CALM, step.body), Nothing)
    again = decided(REGRESSED, step.body)
    assert again == Update(5, written(REGRESSED))


def test_a_run_without_an_answer_does_not_say_that_it_is_over() -> None:
    step = decided(Finding(7, 3, 0, 0, "**inconclusive**: too noisy\n"), written(REGRESSED))
    assert isinstance(step, Update)
    assert OVER not in step.body
    assert "too noisy" in step.body


def test_a_comment_too_long_for_github_has_only_the_answer() -> None:
    page = "**regressed**: much\n\n" + "@" * (LONGEST_BODY // 3)
    body = written(Finding(7, 1, 1, 0, page))
    assert len(body) < LONGEST_BODY
    assert "**regressed**: much" in body


@given(st.text())
def test_a_name_cannot_end_the_marker(name: str) -> None:
    assert marker(name).count("-->") == 1
    assert len(marker(name).splitlines()) == 1


# ------------------------------------------------------------------------ what may be shown


@example("https://a.b www.c.d @e #1 &#64;f")
@given(HOSTILE)
def test_every_page_that_the_gate_writes_may_be_shown(words: str) -> None:
    shown(markdown.render(summarise(reworded(words))))


def test_a_usual_page_is_shown_as_it_is() -> None:
    assert shown(PAGE) == PAGE


@pytest.mark.parametrize(
    "page",
    [
        "[click](https://a.b)",
        "![](https://a.b/x.png)",
        "[+1.0, +2.0](https://a.b)",
        "[+1.0, +2.0]: https://a.b",
        "<https://a.b>",
        "<img src=x>",
        "a <script>",
        "<a href=x>`",
        "<details open>",
        "<!-- hidden",
        "# heading",
        "~~~",
        "```",
        "``a`<b>`",
        "`a\n<b>`",
        "\\`<b>\\`",
        "<details>\n`<img src=x>`\n</details>",
        "<details>`<img src=x>`",
        "- <details>`<img src=x>`",
        "- <br>\n`<img src=x>`",
        "<code>`</code><img src=x>`",
        "<code>www.a.b</code>",
        "<code>https://a.b</code>",
        "<pre>\n<img src=x>\n</pre>",
        "<pre>\n</pre><img src=x>",
        "</pre>\n`a`<b>",
        "a&amp;b &copy;",
        "**a** *b*",
        "> quoted",
        "the right way \u202e round",
        "`the right way \u202e round`",
        "<code>the right way &#8238; round</code>",
        "the right way &#8238; round",
    ],
)
def test_markup_that_the_gate_does_not_write_is_refused(page: str) -> None:
    with pytest.raises(CommentError, match="markup that the gate does not write"):
        shown(page)


@pytest.mark.parametrize(
    ("page", "harmless"),
    [
        ("@all", "@&#8203;all"),
        ("&#64;all", "&#64;&#8203;all"),
        ("see https://a.b", "see https&#8203;://a.b"),
        ("see WWW.a.b", "see &#8203;WWW.a.b"),
        ("<pre>\n@all\n</pre>", "<pre>\n@&#8203;all\n</pre>"),
        ("`@all <b>`", "`@all <b>`"),
    ],
)
def test_nobody_is_mentioned_and_no_address_is_a_link(page: str, harmless: str) -> None:
    assert shown(page) == harmless


# ------------------------------------------------------------------------- what is believed


@pytest.mark.parametrize(
    "facts",
    [
        *({}, [], "x", None),
        {"pull_request": True, "exit_code": 0, "regressed": 0, "improved": 0, "page": ""},
        {"pull_request": "7/../8", "exit_code": 0, "regressed": 0, "improved": 0, "page": ""},
        {"pull_request": 7, "exit_code": 4, "regressed": 0, "improved": 0, "page": ""},
        {"pull_request": 7, "exit_code": 0, "regressed": -1, "improved": 0, "page": ""},
        {"pull_request": 7, "exit_code": 0, "regressed": 0, "improved": 1e3, "page": ""},
        {"pull_request": 7, "exit_code": 0, "regressed": 0, "improved": 0, "page": 5},
        {"pull_request": 7, "exit_code": 0, "regressed": 0, "improved": 0, "page": "x" * 65_001},
        {"pull_request": 7, "exit_code": 0, "regressed": 0, "improved": 0, "page": "\ud800"},
    ],
)
def test_a_file_that_is_not_the_gates_is_refused_in_one_sentence(
    facts: object, tmp_path: Path
) -> None:
    file = tmp_path / "comment.json"
    file.write_text(json.dumps(facts))
    with pytest.raises(CommentError, match="is not what `flopline ci` writes"):
        read_finding(file)


@pytest.mark.parametrize("content", ["", "[" * 100_000, "9" * 5000, "[" + "1," * LARGEST_FILE])
def test_a_file_that_would_choke_a_reader_is_refused(content: str, tmp_path: Path) -> None:
    file = tmp_path / "comment.json"
    file.write_text(content)
    with pytest.raises(CommentError, match="is not what `flopline ci` writes"):
        read_finding(file)


def pull_request(sha: str = SHA, repository: str = "fork/it", ref: str = "work") -> dict[str, Any]:
    return {"number": 7, "head": {"sha": sha, "ref": ref, "repo": {"full_name": repository}}}


def test_only_the_pull_request_whose_newest_commit_was_measured_gets_a_comment() -> None:
    run = Run(SHA, "fork/it", "work", LINK)
    assert is_newest(pull_request(), run)
    assert not is_newest(pull_request(sha="9" * 40), run)
    others = [pull_request(repository="other/it"), pull_request(ref="main"), {"number": 7}]
    for other in [*others, {"number": 7, "head": {"sha": SHA, "ref": "work", "repo": None}}]:
        with pytest.raises(CommentError, match="but fork/it:work was measured"):
            is_newest(other, run)


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"workflow_run": {"head_sha": "x"}}'])
def test_an_event_that_is_none_is_refused_in_one_sentence(content: str, tmp_path: Path) -> None:
    file = tmp_path / "event.json"
    file.write_text(content)
    with pytest.raises(CommentError, match="describes no event `workflow_run`"):
        read_run(file)


# --------------------------------------------------------------------- the program, for real


class Hub:
    """A server that answers as GitHub's API does, and keeps what was written.

    Attributes:
        comments: The comments on pull request 7.
        requests: What was asked, in order.
        address: Where it is.
    """

    def __init__(self) -> None:
        self.comments: list[dict[str, Any]] = []
        self.requests: list[str] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                sent = json.loads(self.rfile.read(length) or b"{}")
                hub.requests.append(f"{self.command} {self.path}")
                known = self.headers["Authorization"] == "Bearer secret"
                found = hub.answer(self.command, self.path, sent) if known else None
                self.send_response(200 if found is not None else 404)
                self.end_headers()
                self.wfile.write(json.dumps(found).encode())

            do_GET = do_POST = do_PATCH = answer  # noqa: N815  # names of http.server

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, method: str, path: str, sent: dict[str, Any]) -> object:
        """Returns what GitHub would; None if there is no such thing."""
        path = path.removeprefix("/repos/own/it/")
        if (method, path) == ("GET", "pulls/7"):
            return pull_request()
        if method == "GET" and path.startswith("issues/7/comments?per_page=100&page="):
            page = int(path.rpartition("=")[2])
            return self.comments[100 * (page - 1) : 100 * page]
        if (method, path) == ("POST", "issues/7/comments"):
            self.write(len(self.comments), "github-actions[bot]", sent["body"])
            return self.comments[-1]
        if method == "PATCH":
            comment = self.comments[int(path.removeprefix("issues/comments/"))]
            comment["body"] = sent["body"]
            return comment
        return None

    def write(self, number: int, login: str, body: str) -> None:
        self.comments.append({"id": number, "user": {"login": login}, "body": body})


@pytest.fixture
def hub() -> Iterator[Hub]:
    made = Hub()
    thread = threading.Thread(target=made.server.serve_forever, args=[0.01])
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()


def run(
    hub: Hub, folder: Path, finding: Finding | None, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Runs the action's step as the runner does."""
    artifact = folder / "artifact"
    artifact.mkdir(exist_ok=True)
    if finding:
        (artifact / "comment.json").write_text(json.dumps(vars(finding)))
    event = {
        "head_sha": SHA,
        "head_branch": "work",
        "html_url": LINK,
        "head_repository": {"full_name": "fork/it"},
    }
    (folder / "event.json").write_text(json.dumps({"workflow_run": event}))
    environment = {
        "PATH": os.environ["PATH"],
        "GITHUB_EVENT_PATH": str(folder / "event.json"),
        "GITHUB_API_URL": hub.address,
        "GITHUB_REPOSITORY": "own/it",
        "TOKEN": "secret",
        "AUTHOR": "github-actions[bot]",
        "NAME": "flopline-gate",
        **variables,
    }
    command = [sys.executable, "-I", str(PROGRAM), str(artifact)]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=300
    )


def test_one_comment_follows_a_pull_request_from_regression_to_its_end(
    hub: Hub, tmp_path: Path
) -> None:
    for number in range(150):
        hub.write(number, "somebody", f"{marker('flopline-gate')} says somebody else")
    said = [run(hub, tmp_path, finding).stdout for finding in (CALM, REGRESSED, CALM, CALM)]
    assert said == [
        "flopline: nothing to do: no benchmark is slower or faster, and there is no comment yet\n",
        "flopline: wrote a comment on pull request 7\n",
        "flopline: updated the comment on pull request 7\n",
        "flopline: nothing to do: the comment says already that it is over\n",
    ]
    (comment,) = hub.comments[150:]
    assert OVER in comment["body"]
    assert all(other["body"].endswith("somebody else") for other in hub.comments[:150])


def test_a_run_that_saved_nothing_asks_github_nothing(hub: Hub, tmp_path: Path) -> None:
    done = run(hub, tmp_path, None)
    assert (done.returncode, hub.requests) == (0, [])
    assert done.stdout == "flopline: the run saved nothing for a comment\n"


@pytest.mark.parametrize(
    ("finding", "variables", "reason"),
    [
        (Finding(8, 1, 1, 0, PAGE), {}, "GET pulls/8 failed (HTTP Error 404"),
        (REGRESSED, {"TOKEN": "wrong"}, "may the job do that?"),
        (Finding(7, 1, 1, 0, "<img src=x>"), {}, "line 1 of the page has markup"),
        (REGRESSED, {"GITHUB_API_URL": "http://127.0.0.1:1"}, "Connection refused"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_writes_nothing(
    hub: Hub, tmp_path: Path, finding: Finding, variables: dict[str, str], reason: str
) -> None:
    done = run(hub, tmp_path, finding, **variables)
    assert done.returncode == 1
    assert reason in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert hub.comments == []

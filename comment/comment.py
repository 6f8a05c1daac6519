"""Keeps one comment on a pull request up to date with what the gate found.

A workflow that runs the code of a fork may write nothing on GitHub. So it only saves what it found
as an artifact, and this program runs in a second workflow, `workflow_run`, which belongs to the
default branch and may write comments. It takes the artifact for what it is, a file that the fork
could have written: the number must be that of the pull request whose commit was measured, and the
page must be one that `flopline.gate.tell.markdown` could have written.

It needs nothing but Python, because a job that may write should install nothing.
"""

from __future__ import annotations

import json
import os
import re
import sys
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LARGEST_FILE = 1_000_000
"""Bytes that the artifact's file may have."""
LONGEST_PAGE = 65_000
"""Characters that a page may have; the gate writes no longer ones."""
MOST_PAGES = 50
"""Pages of a hundred comments each that are searched."""
SECONDS = 30
"""How long GitHub may take for an answer."""
MOST_NUMBER = 10**9
LONGEST_BODY = 65_536
"""Characters of a comment that GitHub takes."""
PARAGRAPH = "\n\n"
OVER = "**over**: no benchmark is slower or faster any more."


class CommentError(ValueError):
    """No comment can be made of what was found; the message says why."""


# ------------------------------------------------------------------- what the artifact says


@dataclass(frozen=True)
class Finding:
    """What a gate run found, as the artifact says.

    Attributes:
        pull_request: The number of the pull request.
        exit_code: The exit code of the gate.
        regressed: How many benchmarks are slower.
        improved: How many are faster.
        page: The report as Markdown.
    """

    pull_request: int
    exit_code: int
    regressed: int
    improved: int
    page: str

    @property
    def is_something(self) -> bool:
        """Whether there is something that is worth a comment."""
        return self.regressed > 0 or self.improved > 0


def read_finding(file: Path) -> Finding:
    """Reads the file of the artifact.

    Raises:
        CommentError: It is not what `flopline ci` writes.
    """
    try:
        with file.open("rb") as opened:
            content = opened.read(LARGEST_FILE + 1)
        facts = json.loads(content)
        return Finding(
            pull_request=_whole(facts["pull_request"], at_most=MOST_NUMBER),
            exit_code=_whole(facts["exit_code"], at_most=3),
            regressed=_whole(facts["regressed"], at_most=MOST_NUMBER),
            improved=_whole(facts["improved"], at_most=MOST_NUMBER),
            page=_page(facts["page"]),
        )
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise CommentError(f"{file} is not what `flopline ci` writes ({error!r})") from error


def _whole(value: object, *, at_most: int) -> int:
    if type(value) is not int or not 0 <= value <= at_most:
        raise ValueError(f"{value!r} is no whole number from 0 to {at_most}")
    return value


def _page(value: object) -> str:
    if not isinstance(value, str) or len(value) > LONGEST_PAGE:
        raise ValueError(f"the page is no text of at most {LONGEST_PAGE} characters")
    # Characters that cannot be sent are refused here, in one sentence, and not by a codec later.
    value.encode()
    return value


# ---------------------------------------------------------------------- what may be shown

PUNCTUATION = r"!-/:-@\[-`{-~"
TAGS = re.compile(r"</?(details|summary)>")
BREAKS = re.compile(r"<br>")
ENTITY = r"&#(3[3-9]|[4-9]\d|1[01]\d|12[0-6]|8203);"
"""A mark of ASCII, or the space of no width: others could turn the direction of text."""
CODE = re.compile(rf"`[^`|\\]+`|<code>({ENTITY}|[^{PUNCTUATION}])*</code>")
REFERENCE = re.compile(rf"{ENTITY}|&(lt|gt|amp);")
NUMBER = r"[+-]?(\d+(\.\d+)?|inf|nan)"
INTERVAL = re.compile(rf"\[{NUMBER}, {NUMBER}\](?![(\[:])")
BOLD = re.compile(r"^\*\*\w+\*\*")
MARKUP = re.compile(r"[\\`*_{}\[\]<>&~#$^@]")
MENTION = re.compile(r"(@|&#64;)(?!&#8203;)")
ADDRESS = re.compile(r"(?i)(://|www\.)")
APART = "&#8203;"
"""A space of no width, after which nothing is a mention or an address any more."""


def shown(page: str) -> str:
    """Returns a page of the gate's as it may be shown to others.

    Every character that could be markup is allowed only where the gate's own report has it: in
    code, in a few tags without attributes, and as a character reference. Addresses lose their
    links, and nobody is mentioned.

    Raises:
        CommentError: There is other markup in it, so that the gate did not write it.
    """
    lines = page.split("\n")
    in_output = False
    for place, line in enumerate(lines):
        # The gate spells out what no eye sees, and what turns the direction of text.
        demand(line.isprintable(), place)
        if line in ("<pre>", "</pre>"):
            in_output = line == "<pre>"
        elif in_output:
            demand(not re.search(r"[<>]", line), place)
            lines[place] = MENTION.sub(rf"\1{APART}", line)
        else:
            demand_structure(lines, place)
            lines[place] = _shown(line, place)
    return "\n".join(lines)


def demand(condition: bool, place: int) -> None:  # noqa: FBT001  # it is what is demanded
    """Refuses a page because of one of its lines.

    Raises:
        CommentError: The condition does not hold.
    """
    if not condition:
        raise CommentError(f"line {place + 1} of the page has markup that the gate does not write")


def demand_structure(lines: list[str], place: int) -> None:
    """Checks that the tags of a line begin no block in which backticks would not mean code.

    What follows such a tag is HTML until the next empty line:
    https://spec.commonmark.org/0.31.2/#html-blocks

    Raises:
        CommentError: They do.
    """
    line = lines[place]
    if TAGS.search(line):
        following = lines[place + 1] if place + 1 < len(lines) else ""
        demand("`" not in line and not following, place)
    demand(not re.match(r"[\s\d.)+-]*<br>", line), place)


def _shown(line: str, place: int) -> str:
    """Returns a line that lies in no output of a program."""
    pieces = []
    end = 0
    for code in CODE.finditer(line):
        pieces += [_prose(line[end : code.start()], place), code[0]]
        end = code.end()
    return "".join([*pieces, _prose(line[end:], place)])


def _prose(text: str, place: int) -> str:
    """Returns a piece of a line between the codes."""
    harmless = MENTION.sub(rf"\1{APART}", ADDRESS.sub(rf"{APART}\1", text))
    rest = harmless.replace(f"@{APART}", "")
    for allowed in (TAGS, BREAKS, REFERENCE, INTERVAL, BOLD):
        rest = allowed.sub(" ", rest)
    demand(not MARKUP.search(rest), place)
    return harmless


# --------------------------------------------------------------------- what is to be done


@dataclass(frozen=True)
class Comment:
    """A comment on a pull request.

    Attributes:
        id: Its number.
        body: Its text.
    """

    id: int
    body: str


@dataclass(frozen=True)
class Nothing:
    """Nothing is to be done.

    Attributes:
        why: The reason.
    """

    why: str


@dataclass(frozen=True)
class Create:
    """A comment is to be written.

    Attributes:
        body: Its text.
    """

    body: str


@dataclass(frozen=True)
class Update:
    """The text of a comment is to be replaced.

    Attributes:
        id: The number of the comment.
        body: The new text.
    """

    id: int
    body: str


def marker(name: str) -> str:
    """Returns the first line of a comment by which it is found again; no reader sees it."""
    return f"<!-- flopline gate: {re.sub(r'[^A-Za-z0-9_. ]', '-', name)} -->"


def decide(
    finding: Finding, previous: Comment | None, *, name: str, commit: str, link: str
) -> Nothing | Create | Update:
    """Returns what is to be done about the comment.

    There is none until a benchmark is slower or faster. Once there is one, it follows every run: it
    also says when that is over, or when a run gave no answer.

    Args:
        finding: What the run found.
        previous: The comment that is there; None if there is none.
        name: The name of the gate, if a project has several.
        commit: The commit that was measured.
        link: The address of the run.
    """
    if previous is None and not finding.is_something:
        return Nothing("no benchmark is slower or faster, and there is no comment yet")
    # A run that gave no answer may have told of a regression before: that is not over.
    is_over = not finding.is_something and finding.exit_code == 0
    if previous is not None and is_over and OVER in previous.body:
        return Nothing("the comment says already that it is over")
    page = shown(finding.page).strip()
    origin = f"{commit[:7]} was measured in [this run]({link})."
    if is_over:
        report = f"{OVER}\n\n<details><summary>the report</summary>\n\n{page}\n\n</details>"
    else:
        report = page
    body = f"{marker(name)}\n\n{report}\n\n{origin}"
    if len(body) > LONGEST_BODY:
        body = f"{marker(name)}\n\n{page.partition(PARAGRAPH)[0]}\n\n{origin}"
    return Create(body) if previous is None else Update(previous.id, body)


# ------------------------------------------------------------------------ what GitHub says


@dataclass(frozen=True)
class Run:
    """The run of the first workflow, as GitHub describes it to the second.

    Attributes:
        commit: The commit that was measured.
        repository: The repository that it lies in, which may be a fork.
        branch: Its branch there.
        link: The address of the run.
    """

    commit: str
    repository: str
    branch: str
    link: str


def read_run(file: Path) -> Run:
    """Reads the description of the event `workflow_run`, which GitHub writes.

    Raises:
        CommentError: It is none.
    """
    try:
        run = json.loads(file.read_bytes())["workflow_run"]
        source = run["head_repository"]["full_name"]
        return Run(run["head_sha"], source, run["head_branch"], run["html_url"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise CommentError(f"{file} describes no event `workflow_run` ({error!r})") from error


def is_newest(pull_request: Mapping[str, Any], run: Run) -> bool:
    """Returns whether a run has measured the newest commit of a pull request.

    Raises:
        CommentError: It has measured another branch. Anybody can make a pull request with the same
            commit as another one, and so the branch is compared, too.
    """
    head = pull_request.get("head") or {}
    repository = (head.get("repo") or {}).get("full_name")
    if (repository, head.get("ref")) != (run.repository, run.branch):
        raise CommentError(
            f"pull request {pull_request.get('number')} comes from {repository}:{head.get('ref')}, "
            f"but {run.repository}:{run.branch} was measured"
        )
    return head.get("sha") == run.commit


class GitHub:
    """The REST API of GitHub, for one repository.

    Attributes:
        address: Where the repository is in the API.
    """

    def __init__(self, address: str, token: str) -> None:
        self.address = address
        self._token = token

    def ask(self, path: str, *, method: str = "GET", body: str | None = None) -> Any:  # noqa: ANN401  # JSON
        """Returns the answer to a request.

        Raises:
            CommentError: GitHub refuses, or does not answer.
        """
        request = urllib.request.Request(  # noqa: S310  # the runner says where the API is
            f"{self.address}/{path}",
            method=method,
            data=None if body is None else json.dumps({"body": body}).encode(),
            headers={
                "Accept": "application/vnd.github+json",
                "Authorization": f"Bearer {self._token}",
                "X-GitHub-Api-Version": "2022-11-28",
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310  # as above
                return json.load(answer)
        except (OSError, ValueError) as error:
            raise CommentError(f"{method} {path} failed ({error}); may the job do that?") from error

    def comments(self, number: int) -> Iterator[dict[str, Any]]:
        """Yields the comments on a pull request.

        Raises:
            CommentError: GitHub refuses, or does not answer.
        """
        for page in range(1, MOST_PAGES + 1):
            some = self.ask(f"issues/{number}/comments?per_page=100&page={page}")
            yield from some
            if len(some) < 100:  # noqa: PLR2004  # as asked for
                return


def find_comment(github: GitHub, number: int, *, name: str, author: str) -> Comment | None:
    """Returns the comment that an earlier run has written; None if there is none.

    Only one of the same author is taken: anybody can write a marker.
    """
    for comment in github.comments(number):
        body = comment.get("body") or ""
        is_own = (comment.get("user") or {}).get("login") == author
        if is_own and body.startswith(marker(name)):
            return Comment(comment["id"], body)
    return None


def keep_comment(folder: Path, variables: Mapping[str, str]) -> str:
    """Writes or updates the comment, and returns what was done, in words.

    Args:
        folder: Where the artifact was unpacked.
        variables: The environment of the action.

    Raises:
        CommentError: Nothing can be written; the message says why.
    """
    run = read_run(Path(variables["GITHUB_EVENT_PATH"]))
    file = folder / "comment.json"
    if not file.is_file():
        return "the run saved nothing for a comment"
    finding = read_finding(file)
    address = f"{variables['GITHUB_API_URL']}/repos/{variables['GITHUB_REPOSITORY']}"
    github = GitHub(address, variables["TOKEN"])
    number = finding.pull_request
    if not is_newest(github.ask(f"pulls/{number}"), run):
        return f"nothing to do: pull request {number} has newer commits"
    name = variables.get("NAME", "")
    previous = find_comment(github, number, name=name, author=variables["AUTHOR"])
    step = decide(finding, previous, name=name, commit=run.commit, link=run.link)
    if isinstance(step, Nothing):
        return f"nothing to do: {step.why}"
    if isinstance(step, Create):
        github.ask(f"issues/{number}/comments", method="POST", body=step.body)
        return f"wrote a comment on pull request {number}"
    github.ask(f"issues/comments/{step.id}", method="PATCH", body=step.body)
    return f"updated the comment on pull request {number}"


def main() -> None:
    """Runs the action's step: its first argument is the folder of the artifact."""
    try:
        done = keep_comment(Path(sys.argv[1]), os.environ)
    except CommentError as error:
        sys.exit(f"flopline: {error}")
    except (KeyError, IndexError) as error:
        sys.exit(f"flopline: {error} is missing; run this as the action does")
    sys.stdout.write(f"flopline: {done}\n")


if __name__ == "__main__":
    main()

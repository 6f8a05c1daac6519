"""From two versions to a record: collect, screen everything, confirm the suspicious on fresh blocks, explain.

Which number decides what is fixed before it is measured: the screen only chooses what to confirm, and how many
confirming blocks there are depends on the screen and on how long a block takes. What a confirming block says can only
ask for a second look at more, and both looks share the error rate.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from flopline import __version__, git, progress, records
from flopline.gate.judge import answer as outcome
from flopline.gate.judge import clock as clocks
from flopline.gate.judge import controls, verdict
from flopline.gate.measure import block as lockstep
from flopline.gate.measure import calls as explain
from flopline.gate.measure import handle as child
from flopline.gate.measure import pair
from flopline.gate.record import (
    Block,
    BlockRequest,
    Comparison,
    Difference,
    ExitCode,
    GateRecord,
    Loss,
    Quad,
    Settings,
    SideFacts,
    Stage,
)
from flopline.gate.sides import build as builds
from flopline.gate.sides import environment as environments
from flopline.gate.sides import export, interpreter, versions
from flopline.gate.sides import overlay as suites
from flopline.machine import hardware

if TYPE_CHECKING:
    from flopline.gate.judge.verdict import Confirmed, Screened
    from flopline.gate.measure.pair import Collected

FINE = 0.025
"""Below this `detect`, more and longer blocks are needed."""
MOST_BLOCKS = 28
SHORTEST = 0.2
"""Where the budget is short, blocks are cut to this share of their timed seconds: noisier, but as valid."""
BROKEN = "broken off"
"""How the result of a run begins that did not come to its end."""
PROFILED = 5
"""As many regressed benchmarks are explained."""


@dataclass(frozen=True)
class Progress:
    """Where a run is.

    Attributes:
        stage: In words.
        done: Blocks finished in this stage.
        blocks: Blocks planned for it.
        benchmark: The one at work; empty between blocks.
        left: Estimated seconds to the end of the stage; None where unknown.
    """

    stage: str
    done: int = 0
    blocks: int = 0
    benchmark: str = ""
    left: float | None = None


Report = Callable[[Progress], None]
Direction = Literal["slower", "faster"]
Families = dict[Direction, list[str]]


@dataclass(frozen=True)
class Schedule:
    """How much is measured: screening blocks, and the least timed seconds per benchmark in a block of either stage."""

    blocks: int
    screen_seconds: float
    confirm_seconds: float

    @classmethod
    def of(cls, detect: float) -> Schedule:
        """The schedule for a sensitivity: finer takes more blocks, and more batches in each."""
        return cls(4, 0.15, 0.25) if detect >= FINE else cls(6, 0.25, 0.4)


class GateError(RuntimeError):
    """The gate could not do its work."""


ERRORS = (
    GateError,
    pair.SuiteError,
    child.WorkerError,
    builds.BuildError,
    export.ExportError,
    git.GitError,
    git.NoWorkingTreeError,
    interpreter.InterpreterError,
    suites.OverlayError,
    versions.VersionError,
)
"""What a run can end with when it cannot do its work; each message says what to do."""


def run(
    baseline: environments.Side,
    candidate: environments.Side,
    settings: Settings,
    *,
    cpus: Sequence[int] | None = None,
    report: Report = lambda _: None,
    schedule: Schedule | None = None,
    slowdown: Mapping[str, float] | None = None,
) -> GateRecord:
    """Compares two sides; `slowdown` stretches what the candidate reports for some benchmarks, to test the gate.

    A run that is interrupted, or in which a side no longer starts, gives what it has measured, if any block ended.

    Raises:
        GateError: There is nothing to compare.
        child.WorkerError: A side does not start.
        pair.SuiteError: The arguments cannot be compared under.
    """
    return _Run(
        baseline=baseline,
        candidate=candidate,
        settings=settings,
        cpus=cpus,
        report=report,
        schedule=schedule,
        slowdown=slowdown or {},
    ).record()


class _Run:
    """The state of one run, stage by stage."""

    def __init__(
        self,
        *,
        baseline: environments.Side,
        candidate: environments.Side,
        settings: Settings,
        cpus: Sequence[int] | None,
        report: Report,
        schedule: Schedule | None,
        slowdown: Mapping[str, float],
    ) -> None:
        self.baseline, self.candidate, self.settings = baseline, candidate, settings
        self.cpus = list(cpus or sorted(os.sched_getaffinity(0)))
        self.report = report
        self.schedule, self.slowdown = schedule or Schedule.of(settings.detect), slowdown
        self.begin = time.monotonic()
        self.started = records.now()
        self.blocks: list[Block] = []
        self.lost: dict[str, Loss] = {}
        self.planned: dict[str, int] = {}
        self.warnings: list[str] = []

    def record(self) -> GateRecord:
        """Runs all stages."""
        own = self.collect()
        ids = self.common(own)
        comparisons: list[Comparison] = []
        explanations: dict[str, list[Difference]] = {}
        broken = ""
        try:
            self.screen(ids)
            comparisons = self.verdicts(confirm=not self.checks().problems)
            explanations = self.explain(
                [row.id for row in comparisons if row.verdict == "regressed"][:PROFILED]
            )
        except (KeyboardInterrupt, child.WorkerError) as error:
            if not self.blocks:
                raise
            comparisons = comparisons or self.unfinished()
            count = f"{len(self.blocks)} block{'s' * (len(self.blocks) > 1)}"
            broken = f"{BROKEN} after {count}: {str(error) or 'interrupted'}"
        if not self.screened():
            raise GateError(
                f"none of {len(ids)} benchmarks could be measured on both sides:\n{self.losses()}"
            )
        canary, control, problems = self.checks()
        self.warnings += problems
        measured = {name for block in self.blocks for name in block.quads}
        result, code = (
            (broken, 2)
            if broken
            else outcome.answer(comparisons, problems, self.lost, measured, self.settings.detect)
        )
        quads = [quad for block in self.blocks for taken in block.quads.values() for quad in taken]
        packages = [side.packages for side in own]
        return GateRecord(
            settings=self.settings,
            baseline=_side(self.baseline, own[0]),
            candidate=_side(self.candidate, own[1]),
            machine=hardware(),
            threads=1,
            started=self.started,
            seconds=time.monotonic() - self.begin,
            blocks=self.blocks,
            comparisons=comparisons,
            added=[name for name in own[1].items if name not in own[0].items],
            removed=[name for name in own[0].items if name not in own[1].items],
            canary=canary,
            control=control,
            noise=controls.steps(quads),
            explanations=explanations,
            warnings=[*self.warnings, *outcome.differing(*packages)],
            result=result,
            exit_code=ExitCode(code),
            flopline=__version__,
        )

    def collect(self) -> list[Collected]:
        """What each side has of its own, before one side's benchmark files are laid over the other's."""
        self.report(Progress("collecting"))
        own = pair.list_benchmarks([self.baseline, self.candidate], self.settings.arguments)
        for side, name in zip(own, ("baseline", "candidate"), strict=True):
            self.warnings += [
                f"{name}: {file} could not be collected: {text.strip()[-300:]}"
                for file, text in side.errors
            ]
        giver, source, taker = own[1], self.candidate, self.baseline
        if self.settings.suite_from == "baseline":
            giver, source, taker = own[0], self.baseline, self.candidate
        if not giver.items:
            raise GateError(
                "no benchmark found: no collected test uses the fixture `benchmark`; name the suite after --, "
                "for example -- tests/benchmarks\n"
                + "\n".join(text for _, text in giver.errors)[-2000:]
            )
        if self.settings.suite_from != "each" and source.tree != taker.tree:
            suites.overlay(source, taker, sorted({file for file, _ in giver.items.values()}))
        return own

    def common(self, own: list[Collected]) -> list[str]:
        """The benchmarks to run, in the order in which they will be collected; what one side lacks is lost here."""
        first, second = own
        if self.settings.suite_from == "each":
            both = [name for name in first.items if name in second.items]
            changed = [name for name in both if first.items[name][1] != second.items[name][1]]
            self.lost |= {
                name: Loss(None, "collect", "changed", "the benchmark's source changed")
                for name in changed
            }
            return [name for name in both if name not in changed]
        return list((second if self.settings.suite_from == "candidate" else first).items)

    def screen(self, ids: list[str]) -> None:
        """Screens every benchmark; then again the suspicious, and those whose noise would hide `detect`."""
        planned, seconds = self.schedule.blocks, self.schedule.screen_seconds
        self.stage("screen", ids, planned, seconds)
        for extra in range(planned):
            doubtful = [
                name
                for name, one in self.screened().items()
                if one is not None and self.doubts(one)
            ]
            if not doubtful or not self.affords(1):
                return
            self.stage(
                "screen",
                doubtful,
                1,
                2 * seconds,
                where=Progress(f"second look at {len(doubtful)}, {extra + 1}", 0, 1),
            )

    def screened(self) -> dict[str, Screened | None]:
        """What the screen knows of every benchmark that is not lost."""
        return {
            name: verdict.screen(name, quads, self.settings.detect)
            for name, quads in self.taken("screen").items()
        }

    def doubts(self, one: Screened) -> bool:
        """Whether more blocks of the screen would help: to drop a suspicion that is not clear, or to see finer."""
        suspicion = verdict.suspicious(one, self.settings.detect)
        if suspicion is None:
            return not one.detectable <= self.settings.detect
        limit = math.log1p(self.settings.detect)
        return one.low <= limit / 2 if suspicion == "slower" else one.high >= -limit

    def stage(
        self,
        stage: Stage,
        ids: list[str],
        blocks: int,
        seconds: float,
        *,
        where: Progress | None = None,
        share: float = 1.0,
    ) -> bool:
        """Runs so many blocks; one in which a worker vanished is replaced, twice at most.

        Args:
            stage: To which the blocks belong.
            ids: What is measured.
            blocks: How many.
            seconds: The least timed seconds per benchmark and block.
            where: How the progress tells it, where that is not the stage and its blocks from the first to the last.
            share: `seconds` over those of the last block.

        Returns:
            Whether the budget had room for all of them.
        """
        spare, done, told = 2, 0, where or Progress(stage, 0, blocks)
        while done < blocks:
            left = [name for name in ids if name not in self.lost]
            if not left:
                return True
            begun = told.done + done
            if self.blocks and not self.affords(1, share):
                budget = f"the budget of {self.settings.budget:.0f} s"
                self.warnings.append(
                    f"{budget} ended in the stage {stage!r} after {begun} of {told.blocks} blocks"
                )
                return False
            place = replace(told, done=begun, left=self.expected(told.blocks - begun))
            block = self.block(stage, left, seconds, place)
            self.blocks.append(block)
            gone = [
                loss
                for loss in block.lost.values()
                if loss.phase == "process" and loss.outcome != "stopped"
            ]
            self.lost |= {
                name: loss for name, loss in block.lost.items() if loss.outcome != "stopped"
            }
            if gone and spare:
                spare -= 1
                continue
            done += 1
        return True

    def block(self, stage: Stage, ids: list[str], seconds: float, where: Progress) -> Block:
        """One block, with progress; benchmarks that one side does not even collect are lost."""
        request = BlockRequest(stage, tuple(ids), seconds, progress.Progress(where.stage))
        block = lockstep.run_block(
            self.baseline,
            self.candidate,
            request,
            self.settings,
            cpus=self.cpus,
            slowdown=self.slowdown,
            report=lambda name: self.report(replace(where, benchmark=name)),
        )
        missing = [name for name in ids if name not in block.quads and name not in block.lost]
        absent = {
            name: Loss("baseline", "collect", "missing", "it is not collected there")
            for name in missing
        }
        return replace(block, lost=block.lost | absent)

    def expected(self, blocks: int, share: float = 1.0) -> float | None:
        """Seconds for so many more blocks like the last one, its timed seconds cut to a share."""
        if not self.blocks:
            return None
        return blocks * (self.blocks[-1].seconds - (1 - share) * timed(self.blocks[-1]))

    def affords(self, blocks: int, share: float = 1.0) -> bool:
        """Whether the budget has room for so many more blocks like that."""
        return (self.expected(blocks, share) or 0) <= self.room()

    def room(self) -> float:
        """Seconds that are left of the budget."""
        return self.settings.budget - (time.monotonic() - self.begin)

    def taken(self, stage: Stage) -> dict[str, list[list[Quad]]]:
        """Per benchmark that is not lost, the quads of each block of a stage that has any."""
        names = dict.fromkeys(
            name for block in self.blocks for name in block.quads if name not in self.lost
        )
        chosen = [block for block in self.blocks if block.stage == stage]
        return {
            name: [block.quads[name] for block in chosen if block.quads.get(name)] for name in names
        }

    def unfinished(self) -> list[Comparison]:
        """What can be said of a run that broke off: nothing is unchanged before its screen is done."""
        rows = self.verdicts(confirm=False)
        if len(self.blocks) >= self.schedule.blocks:
            return rows
        note = f"{len(self.blocks)} of {self.schedule.blocks} blocks of the screen were run"
        return [
            replace(row, verdict="inconclusive", note=note) if row.verdict == "unchanged" else row
            for row in rows
        ]

    def checks(self) -> controls.Controls:
        """What the run's built-in checks read so far."""
        return controls.check(
            [block.canary for block in self.blocks],
            [block.control for block in self.blocks],
            self.settings.detect,
        )

    def verdicts(self, *, confirm: bool) -> list[Comparison]:
        """Confirms what the screen finds suspicious, and judges everything."""
        screened, detect = self.screened(), self.settings.detect
        known = {name: one for name, one in screened.items() if one is not None}
        direction = {name: verdict.suspicious(one, detect) for name, one in known.items()}
        families: Families = {
            "slower": [name for name in known if direction[name] == "slower"],
            "faster": [name for name in known if direction[name] == "faster"],
        }
        tested: dict[Direction, dict[str, Confirmed]] = {"slower": {}, "faster": {}}
        suspects = [name for name in known if direction[name]]
        if confirm and suspects and self.confirm(known, families):
            tested = self.tests(known, families, suspects)
            near = [
                name
                for family in tested.values()
                for name, one in family.items()
                if verdict.near(one)
            ]
            if near:
                self.again(near)
                second = self.tests(known, families, near)
                tested = {
                    way: first | {n: second[way][n] for n in first if n in near}
                    for way, first in tested.items()
                }
        rows = [
            self.cut(
                verdict.compare(
                    name, one, tested["slower"].get(name), tested["faster"].get(name), detect
                )
            )
            for name, one in screened.items()
            if name not in self.lost
        ]
        return rows + [
            Comparison(name, "not comparable", note=outcome.why(loss))
            for name, loss in self.lost.items()
        ]

    def cut(self, row: Comparison) -> Comparison:
        """The same verdict, with what was planned for it; where the budget ended before, a note says so."""
        planned = self.planned.get(row.id, 0)
        short = (
            row.verdict == "inconclusive"
            and row.stage == "confirm"
            and row.blocks < planned
            and not row.note
        )
        return replace(
            row,
            planned=planned,
            note=f"{row.blocks} usable blocks of {planned} planned" if short else row.note,
        )

    def confirm(self, screened: dict[str, Screened], families: Families) -> bool:
        """Runs the planned numbers of fresh blocks, or as many as the budget allows; tells if that can decide."""
        detect, alpha = self.settings.detect, self.settings.alpha / verdict.LOOKS
        planned = {
            name: verdict.plan(
                one.sigma, len(family), detect, alpha, least=verdict.certain(one), most=MOST_BLOCKS
            )
            for family in families.values()
            for name, one in ((name, screened[name]) for name in family)
        }
        self.planned = {name: planned[name] for name in families["slower"]}
        floor = max(
            math.ceil(math.log2(len(family) / alpha)) for family in families.values() if family
        )
        suspects = [name for name in screened if name in planned]
        seconds = self.confirm_seconds(len(suspects))
        most = blocks = max(planned.values())
        self.stage("confirm", suspects, 1, seconds, where=Progress("confirm", 0, most))
        while blocks > floor and not self.affords(blocks - 1):
            blocks -= 1
        if fitting(self.blocks[-1], blocks - 1, self.room()) < SHORTEST:
            need = time.monotonic() - self.begin + (self.expected(most - 1) or 0)
            suspicious = f"{len(suspects)} suspicious benchmark{'s' * (len(suspects) > 1)}"
            self.warnings.append(
                f"{suspicious} not confirmed: that takes {most} blocks, {need:.0f} s in all; the budget is "
                f"{self.settings.budget:.0f} s, give --budget {math.ceil(need / 10) * 10}s"
            )
            return False
        # Who needs no more leaves; how many each takes was fixed before the first confirming block.
        longest = seconds
        for done in range(1, blocks):
            share = min(longest / seconds, fitting(self.blocks[-1], blocks - done, self.room()))
            share = max(share, SHORTEST * longest / seconds)
            seconds *= share
            staying = [name for name in suspects if planned[name] > done]
            if not self.stage(
                "confirm", staying, 1, seconds, where=Progress("confirm", done, blocks), share=share
            ):
                break
        return True

    def confirm_seconds(self, suspects: int) -> float:
        """Few suspects get more of each block: its start takes seconds, whatever is measured in it."""
        return self.schedule.confirm_seconds * min(3.0, max(1.0, 10 / suspects))

    def again(self, near: list[str]) -> None:
        """Runs more blocks of what was nearly rejected, as many as there may be and the budget has room for."""
        self.planned |= {name: MOST_BLOCKS for name in near if name in self.planned}
        more = MOST_BLOCKS - min(
            len(quads) for name, quads in self.taken("confirm").items() if name in near
        )
        while more > 0 and not self.affords(more):
            more -= 1
        self.stage(
            "confirm",
            near,
            more,
            self.confirm_seconds(len(near)),
            where=Progress(f"last look at {len(near)}", 0, more),
        )

    def tests(
        self, screened: dict[str, Screened], families: Families, names: list[str]
    ) -> dict[Direction, dict[str, Confirmed]]:
        """One look at the confirming blocks of `names`, among all suspects; on the clock that the screen chose."""
        taken = self.taken("confirm")

        def values(name: str, sign: int) -> list[float]:
            found = [
                clocks.block_value(quads, screened[name].clock) for quads in taken.get(name, [])
            ]
            return [sign * value for value in found if value is not None] if name in names else []

        return {
            way: verdict.confirm(
                {name: values(name, 1 if way == "slower" else -1) for name in family},
                self.settings.detect,
                self.settings.alpha / verdict.LOOKS,
            )
            for way, family in families.items()
        }

    def explain(self, ids: list[str]) -> dict[str, list[Difference]]:
        """What the candidate calls more often, for the regressed benchmarks."""
        if not ids:
            return {}
        self.report(Progress("explaining"))
        found = explain.count_calls(self.baseline, self.candidate, self.settings.arguments, ids)
        roots = (self.baseline.roots, self.candidate.roots)
        return {
            name: explain.differences(sites["baseline"], sites["candidate"], roots)
            for name, sites in found.items()
            if len(sites) == len(roots)
        }

    def losses(self) -> str:
        """Every lost benchmark and why, a line each."""
        return "\n".join(
            f"  {name}: {outcome.why(loss)}" for name, loss in list(self.lost.items())[:10]
        )


def timed(block: Block) -> float:
    """Seconds of a block in which benchmarks were timed; the rest is its start, above all."""
    quads = (quad for taken in block.quads.values() for quad in taken)
    return sum(batch.wall for quad in quads for batch in (*quad.baseline, *quad.candidate))


def fitting(last: Block, blocks: int, room: float) -> float:
    """To which share of the last block's timed seconds so many more must be cut to fill 0.95 of a room, or grow.

    What else a block takes cannot be cut; so the share may be negative.
    """
    return (
        (0.95 * room / blocks - (last.seconds - timed(last))) / timed(last) if timed(last) else 1.0
    )


def _side(startable: environments.Side, collected: Collected) -> SideFacts:
    version = startable.version
    return SideFacts(
        startable.name, version.label, version.commit, collected.python, collected.packages
    )

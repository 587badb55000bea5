"""The disk becomes full while a study trains: told in a line, nothing stored is lost; with room again it goes on."""

import pytest
from faults import small_disk
from killing import after, blocks, discard, moments, resume, start, unfinished, wait

MEGABYTES = 48
SECONDS = 300


def test_at_random_moments(undisturbed, untouched, tmp_path, extent, tally):
    told = 0
    for trial, moment in enumerate(moments(extent.generator(8), extent.share(5), 0.9 * undisturbed.seconds)):
        project = untouched.copied(tmp_path / f"full-{trial}")
        try:
            disk = small_disk(project.results, MEGABYTES)
            with disk as small:
                with start(project) as workflow:
                    wait(workflow, moment)
                    training = len(blocks(project))
                    ballast = small.fill()
                    code = workflow.ended(SECONDS)
                problems = unfinished(project)
                text = project.logs() + workflow.text()
                if "Traceback" in text:
                    problems.append(f"a traceback: {text[text.index('Traceback') :][:3000]}")
                if code:
                    told += 1
                    if "No space left on device" not in workflow.text():
                        problems.append("it is not told that the disk is full")
                ballast.unlink()
                problem = after(undisturbed, project, problems)
        except PermissionError as error:
            pytest.skip(f"a small file system cannot be mounted here ({error}); as root, or unshare -Urm make torture")
        note = f"after {moment:.1f} s, {training} blocks were training; it ended with {code}"
        tally.add("disk full", "study", not problem, note=problem or note)
        if not problem:
            discard(project)
    assert told, "no disk was full in time"


def test_a_disk_that_is_full_from_the_start(undisturbed, untouched, tmp_path, tally):
    project = untouched.copied(tmp_path / "full")
    try:
        with small_disk(project.results, MEGABYTES) as small:
            ballast = small.fill()
            done = project.snakemake(study="killed", code=None)
            ballast.unlink()
            problem = "" if done.code and "No space left on device" in done.output else f"not told: {done.output}"
            if "Traceback" in done.output:
                problem = f"a traceback: {done.output[-3000:]}"
            after_all = resume(project)
            problem = problem or after(undisturbed, project, [] if not after_all.code else [after_all.output])
    except PermissionError as error:
        pytest.skip(f"a small file system cannot be mounted here ({error}); as root, or unshare -Urm make torture")
    tally.add("disk full", "before the start", not problem, note=problem)

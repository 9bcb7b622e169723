"""Many clients of both workers at once, and an origin whose answers wait for a word."""

from __future__ import annotations

from tests.support_origin import Talk
from tests.support_stored import CLIENT, Scene, Visitor

FRESH = "Cache-Control: max-age=600"
FIRST = "fwd=uri-miss; stored"
COLLAPSED = f"{FIRST}; collapsed"
CHUNKS = f"HTTP/1.1 200 OK\r\n{FRESH}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()


def held(scene: Scene, *replies: str):
    """A script of answers, each given when the test says so."""
    script = scene.saying(*replies)

    def wait(talk: Talk) -> None:
        talk.read()
        talk.wait()
        script(talk)

    return wait


async def crowd(scene: Scene, count: int, address: str = CLIENT) -> list[Visitor]:
    """So many clients, one half of them at each worker, in turn."""
    pids = scene.pids()
    return [await scene.visitor(pids[number % 2], address) for number in range(count)]


async def are_heard(scene: Scene) -> None:
    """What was sent to the workers so far has been read, by their siblings too."""
    for _ in range(3):
        for visitor in scene.visitors:
            await visitor.ask("/here.txt")
            await visitor.ask(f"/o{scene.path}/heard/{len(scene.origin.talks)}")


async def arrived(scene: Scene, count: int) -> list[Talk]:
    """The requests to the origin, once there are so many."""
    await scene.origin.until(lambda: scene.count >= count)
    return scene.asked()


def let_go(talks: list[Talk]) -> None:
    """The origin may answer these."""
    for talk in talks:
        talk.go.set()

"""The node as a whole: receiver, senders and health in threads, denoising in the thread that calls."""

import threading
from importlib import import_module
from pathlib import Path

from meddenoise.batch.node.health import Health
from meddenoise.batch.node.log import log
from meddenoise.batch.node.receive import Receiver
from meddenoise.batch.node.send import Sender
from meddenoise.batch.node.settings import Settings
from meddenoise.batch.node.spool import Spool, key_of
from meddenoise.batch.node.transports import open_transport
from meddenoise.batch.node.work import work_on
from meddenoise.pipeline import HOMES
from meddenoise.version import __version__

TICK_S = 0.1


def serve(settings: Settings, stop: threading.Event) -> None:
    """Receive, denoise and send until `stop` is set; what is not finished then is taken up by the next start.

    Raises OutputError where a port or the spool cannot be had.
    """
    assert settings.node is not None
    node = settings.node
    spool = Spool(Path(node.spool), [destination.name for destination in settings.send])
    receiver = Receiver(node, spool)
    senders = [
        Sender(destination, open_transport(destination, node.ae_title), spool, stop)
        for destination in settings.send
    ]
    spool.enter()
    health = None
    try:
        receiver.start()
        for sender in senders:
            sender.start()
        if settings.health_port:
            health = Health(settings.health_port, lambda: _report(spool, receiver, senders, stop))
            health.start()
        log.info(
            "meddenoise %s: %s listens at %s:%d, %s",
            *(__version__, node.ae_title, node.host, node.port, f"spool {node.spool}"),
        )
        _loop(receiver, spool, settings, stop)
    finally:
        stop.set()
        receiver.stop()
        for sender in senders:
            if sender.ident is not None:
                sender.join()
        if health is not None:
            health.stop()
        spool.leave()
    log.info("stopped; unfinished series stay in the spool")


def _loop(receiver: Receiver, spool: Spool, settings: Settings, stop: threading.Event) -> None:
    # Takes seconds: the first series does not wait for it.
    import_module(HOMES["denoise"])
    while not stop.wait(TICK_S):
        try:
            _settle(receiver, spool, settings)
            while (jobs := spool.waiting()) and not stop.is_set():
                work_on(jobs[0], spool, settings, stop)
                _settle(receiver, spool, settings)
        except OSError as error:
            log.error("the spool cannot be written (%s); trying again", error.strerror or error)
            stop.wait(5)


def _settle(receiver: Receiver, spool: Spool, settings: Settings) -> None:
    assert settings.node is not None
    receiver.reap()
    for job, broken in spool.settle(settings.quiet_s, settings.node.broken_s):
        images = len(list(job.glob("*.dcm")))
        if broken:
            why = f"the transfer broke off after {images} images and was not tried again."
            log.error("series %s: moved to failed: %s", key_of(job), why)
            spool.give_up(job, why)
        else:
            log.info("series %s: complete, %d images", key_of(job), images)
            if spool.is_late(job):
                log.warning(
                    "series %s: these images came after the others were denoised and make a series of their "
                    "own: raise quiet_s",
                    key_of(job),
                )


def _report(
    spool: Spool, receiver: Receiver, senders: list[Sender], stop: threading.Event
) -> tuple[bool, dict[str, object]]:
    """Health of all threads (True if they work), and the answer of the endpoint."""
    working = receiver.is_alive and all(sender.is_alive() for sender in senders)
    well = working and not stop.is_set()
    trouble = {sender.name.removeprefix("send "): sender.trouble for sender in senders if sender.trouble}
    status = "stopping" if stop.is_set() else "broken" if not working else "ok"
    if well and trouble:
        status = "waiting for a destination"
    return well, {"status": status, "meddenoise": __version__, **spool.count(), "trouble": trouble}

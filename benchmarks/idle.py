"""A worker whose networks do nothing: `python -m benchmarks.idle` is `fer-batch worker` without inference.

One process with Celery's solo pool, so that what is measured is the queue and the database.
"""

from tests.support.idle import IdleEngine


def main() -> None:
    from workers.process import WorkerProcess
    from workers.queue.app import app
    from workers.settings import settings

    WorkerProcess.engine = lambda _, models: IdleEngine(len(models.members))  # type: ignore[assignment, method-assign]
    words = ["--pool=solo", f"--queues={settings().queues}", "--without-gossip", "--without-mingle"]
    app.worker_main(["worker", "--loglevel=WARNING", *words])


if __name__ == "__main__":
    main()

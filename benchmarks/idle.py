"""A worker without inference: `python -m benchmarks.idle` is `fer-batch worker` with an empty engine.

One process with Celery's solo pool, so that only the queue and the database are measured.
"""

from tests.support.idle import IdleEngine


def main() -> None:
    from workers.process import WorkerProcess
    from workers.queue.app import make_app
    from workers.settings import Settings

    WorkerProcess.engine = lambda _, models: IdleEngine(len(models.members))  # type: ignore[assignment, method-assign]
    settings = Settings()
    words = ["--pool=solo", f"--queues={settings.queues}", "--without-gossip", "--without-mingle"]
    make_app(settings).worker_main(["worker", "--loglevel=WARNING", *words])


if __name__ == "__main__":
    main()

"""The flow on DBOS: a workflow with two steps and a durable sleep."""

import argparse
from collections.abc import Sequence

from dbos import DBOS

from bench.peers.calls import CallRecorder
from bench.peers.flow import WAIT_S, main


class DbosProduct:
    """Workflows are started in the process that runs them, as DBOS is embedded in applications."""

    def __init__(self, options: argparse.Namespace, calls: CallRecorder) -> None:
        DBOS(
            config={
                "name": "bench",
                "system_database_url": options.dsn,
                "executor_id": str(options.first),
                "application_version": "1",
                "log_level": "ERROR",
                "sys_db_pool_size": 20,
            }
        )
        is_full = options.flow == "full"

        @DBOS.step()
        async def act(execution: int, step: int) -> None:
            calls.record(execution, step)

        @DBOS.workflow()
        async def nurture(execution: int) -> None:
            if is_full:
                await act(execution, 1)
            await DBOS.sleep_async(WAIT_S)
            await act(execution, 2)

        self._workflow = nurture

    async def start(self) -> None:
        DBOS.launch()

    async def trigger(self, executions: Sequence[int]) -> None:
        for execution in executions:
            await DBOS.start_workflow_async(self._workflow, execution)

    async def stop(self) -> None:
        DBOS.destroy(workflow_completion_timeout_sec=0)


if __name__ == "__main__":
    main(DbosProduct)

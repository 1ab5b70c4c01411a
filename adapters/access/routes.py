"""Who waits and who is served, for whoever runs the gateway."""

from collections.abc import Callable

from fastapi import APIRouter

from adapters.access.callers import Overseer
from adapters.access.served import QueueStatus


def status_routes(status: Callable[[], QueueStatus]) -> APIRouter:
    """The route over this process's queue. It names tenants, and nothing else of them."""
    router = APIRouter(tags=["Operation"])

    @router.get("/queue/status", summary="The queue, the places at the engine, and who has them")
    async def queue_status(_: Overseer) -> QueueStatus:
        """At most 50 tenants, the busiest first."""
        return status()

    return router

"""Tells the services where a request comes from, without their knowing of requests."""

from flask import Flask, request

from app.services.audit import acting_token, client_address


def init_app(app: Flask) -> None:
    """Note the client's address for as long as its request is worked on."""

    @app.before_request
    def note_address() -> None:
        client_address.set(request.remote_addr or "")
        acting_token.set("")  # until a guard has seen one

    @app.teardown_request
    def forget_address(_error: BaseException | None) -> None:
        client_address.set("")
        acting_token.set("")

"""Problem documents (RFC 9457): the responses with which Tollgate itself refuses a request."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from middlewares.exchange import Headers, Refusal
from middlewares.json_codec import to_json

TITLES: dict[str, str] = {
    # what was sent
    "malformed_request": "The request is not well-formed HTTP",
    "malformed_json": "The body is not the JSON object it should be",
    "user_exists": "There is already a user of this name",
    "form_repeated": "The form was sent already",
    "malformed_form": "The body is not the form it should be",
    "malformed_job": "The job header cannot be read",
    "invalid_parameter": "A parameter has an unusable value",
    "reserved_field_name": "A header disguises a reserved one",
    "header_too_large": "The headers are too large or too many",
    "chunks_too_small": "The body has too many chunks for its size",
    "body_too_large": "The body is too large",
    "request_timeout": "The request did not arrive in time",
    "request_stalled": "The request body stopped arriving",
    "request_incomplete": "The request body is not as long as declared",
    "client_disconnected": "The client left before its request was complete",
    "http_version_not_supported": "The HTTP version is not supported",
    "method_not_implemented": "The method is not implemented",
    "transfer_coding_not_implemented": "The transfer coding is not implemented",
    "content_coding_not_supported": "The body may not be encoded",
    "not_found": "There is no such route",
    "unknown_id": "There is nothing of this name",
    "method_not_allowed": "The route does not take this method",
    # who sent it
    "missing_credentials": "A credential is needed",
    "ambiguous_credentials": "More than one credential was sent",
    "unsupported_scheme": "The authentication scheme is not supported",
    "invalid_credentials": "The credential is not valid",
    "invalid_token": "The token is not valid",
    "token_expired": "The token has expired",
    "token_revoked": "The token has been revoked",
    "issuer_unavailable": "The token's issuer cannot be checked now",
    "key_revoked": "The key has been revoked",
    "key_expired": "The key has expired",
    "changed_meanwhile": "It was changed meanwhile",
    "key_ended": "The key has ended, or was rotated",
    "app_suspended": "The app is suspended",
    "user_suspended": "The user is suspended",
    "plan_unknown": "The plan is not offered",
    "tier_unknown": "The tier is not offered",
    "insufficient_scope": "The credential does not cover this request",
    "address_not_allowed": "The credential may not be used from this address",
    "origin_not_allowed": "The key may not be used from this web page",
    "stream_not_allowed": "The credential is not for this stream",
    "user_not_provisioned": "The app has no such user",
    # what the admin API refuses
    "insufficient_role": "The operator's role does not cover this request",
    "reference_taken": "The reference stands for another change",
    "nothing_to_resolve": "The event needs no decision",
    "nothing_to_charge": "The event is charged in full already",
    "already_resolved": "Another decision was made before",
    "unreadable_event": "An entry of the ledger is no event",
    "page_gone": "The place of the page is no longer known",
    "configuration_refused": "The configuration cannot be used",
    "erasure_incomplete": "Not everything could be erased yet",
    # what a token endpoint refuses (RFC 6749, RFC 8693)
    "invalid_request": "The token request is incomplete or contradicts itself",
    "invalid_client": "The client is unknown, or its secret is wrong",
    "subject_token_invalid": "The credential to exchange is not valid",
    "access_denied": "The user may get no token",
    "temporarily_unavailable": "The credential to exchange cannot be checked now",
    "invalid_scope": "The scope cannot be granted",
    "invalid_target": "The token cannot be issued for that resource",
    "unsupported_grant_type": "The grant type is not supported",
    # what a sign-in of a developer refuses (EIP-4361)
    "malformed_message": "The message is not one of EIP-4361",
    "message_refused": "The message was signed for something else",
    "nonce_invalid": "The nonce is not good any more",
    "nonces_exhausted": "Too many nonces wait to be used",
    "signature_invalid": "The signature is not by the wallet",
    "session_ended": "The session has ended",
    "developer_suspended": "The developer is suspended",
    "developer_pending": "The developer waits for approval",
    "sign_up_closed": "Nobody may sign up",
    "sign_up_full": "Nobody may sign up any more today",
    "invite_invalid": "The invitation is not valid",
    "developer_inactive": "The developer may not sign in",
    "operator_revoked": "The operator may not sign in",
    "operator_session": "The session is an operator's",
    "read_only": "Nothing can be changed while looking",
    # what the portal refuses
    "sign_in_refused": "The sign-in was not completed",
    "identity_refused": "This identity may not sign in",
    "provider_unavailable": "The provider of identities cannot be reached",
    "view_link_invalid": "The link is not good any more",
    "sign_in_link_invalid": "The link is not good any more",
    "form_refused": "The form was not sent from a page of this portal",
    "https_needed": "The portal needs HTTPS",
    "name_mismatch": "The typed name is another one",
    # what money brings or a checkout refuses
    "invalid_signature": "The signature is not valid",
    "unknown_currency": "The currency has no rate",
    "payment_unavailable": "The payment provider cannot be reached",
    # how much it may use
    "rate_limited": "Too many requests",
    "concurrency_limited": "Too many requests at once",
    "app_buffer_full": "The app has too many request bodies on their way",
    "worker_buffer_full": "Too many request bodies are on their way",
    "plan_limit": "The plan's limit is reached",
    "key_limit": "The key's own limit is reached",
    "insufficient_balance": "The balance is too low",
    # what is repeated with an Idempotency-Key
    "idempotency_key_invalid": "The Idempotency-Key is no such key",
    "idempotency_key_reused": "The Idempotency-Key stands for another request",
    "idempotency_in_flight": "The request with this Idempotency-Key has not ended",
    "idempotency_done": "The work was done, and its response was not kept",
    # what Tollgate depends on
    "store_unavailable": "Tollgate cannot check the request now",
    "no_orchestrator_list": "The list of orchestrators cannot be read",
    "live_not_metered": "Live streams cannot be published here",
    "no_gateway": "No gateway is available",
    "gateway_unreachable": "No gateway can be reached",
    "gateway_connect_timeout": "No gateway could be connected in time",
    "gateway_busy": "The gateway is busy",
    "gateway_dropped": "The gateway did not respond",
    "gateway_overloaded": "The gateway is overloaded",
    "unknown_model": "No gateway may have the model",
    "undecodable_image": "The image cannot be decoded",
    "gateway_timeout": "The gateway did not respond in time",
    "gateway_stalled": "The gateway stopped in the middle of its response",
    "gateway_truncated": "The gateway's response was cut off",
    "answer_too_long": "The response is too long",
    "gateway_malformed": "The gateway's response is not valid HTTP",
    "gateway_failed": "The gateway failed",
    "gate_shutdown": "Tollgate is being stopped",
    "internal_error": "Tollgate failed",
}
"""Every code with its title. Codes are stable; the documentation's list of errors is made from this table."""

TYPE = "urn:tollgate:problem:"
QUOTA_EXCEEDED = "https://iana.org/assignments/http-problem-types#quota-exceeded"
"""Registered by draft-ietf-httpapi-ratelimit-headers for responses that name the violated policies."""

VIOLATED_POLICIES = "violated-policies"
OAUTH_MEMBER = "error_description"
"""Member that refusals of a token endpoint have themselves: RFC 6749 section 5.2 names the media type."""
_API = "/api/v1/"
PROBLEM_TYPE, OAUTH_TYPE = b"application/problem+json", b"application/json"

_OPENAI_TYPES = {
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    429: "rate_limit_error",
}


def problem_document(refusal: Refusal, request_id: str) -> dict[str, Any]:
    """Return the members of the document; those of the refusal itself come last."""
    quota = refusal.status == 429 and VIOLATED_POLICIES in refusal.members
    return {
        "type": QUOTA_EXCEEDED if quota else TYPE + refusal.code,
        "title": TITLES.get(refusal.code) or _status_phrase(refusal.status),
        "status": refusal.status,
        "detail": refusal.detail,
        "code": refusal.code,
        "request_id": request_id,
        **refusal.members,
    }


def problem(refusal: Refusal, request_id: str, path: str) -> tuple[Headers, bytes]:
    """Return headers and body for `refusal`.

    Below `/v1/`, where OpenAI clients call, the document has an `error` member; below `/api/v1/`, where builders'
    clients call, it has OAuth's members and a `correlation_id`, which is the request id.
    """
    document = problem_document(refusal, request_id)
    if path.startswith(_API):
        words = {"error": refusal.code, "error_description": refusal.detail, "correlation_id": request_id}
        document = {**words, **document}
    if path.startswith("/v1/"):
        document["error"] = {
            "message": refusal.detail,
            "type": _OPENAI_TYPES.get(refusal.status)
            or ("server_error" if refusal.status >= 500 else "invalid_request_error"),
            "param": None,
            "code": refusal.code,
        }
    body = to_json(document)
    headers: Headers = [
        (b"content-type", OAUTH_TYPE if OAUTH_MEMBER in refusal.members else PROBLEM_TYPE),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
        *refusal.headers,
    ]
    if refusal.close:
        headers.append((b"connection", b"close"))
    return headers, body


def _status_phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Refused"

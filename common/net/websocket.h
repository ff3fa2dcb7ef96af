#pragma once
/*
 * websocket.h: a request that becomes a WebSocket (RFC 6455), for who has news to tell: text
 * messages go out from any thread. What the client sends is checked and dropped; its pings are
 * answered and its close is, and after a close or a hang-up http_cancelled() is true. Like an
 * answer piece by piece, it ends with websocket_end(), once, whatever the client did.
 */
#include "common/net/http.h"

enum {
    WEBSOCKET_NORMAL = 1000,
    WEBSOCKET_GOING_AWAY = 1001,
    WEBSOCKET_POLICY = 1008,
    WEBSOCKET_INTERNAL = 1011,
    WEBSOCKET_MESSAGE_MAX = 4096, /* bytes a client may send at once: it is expected to listen */
};

/* Answers 101. ERR_INVALID: the request doesn't ask for it as it must; it is not answered, and
 * 400 is what to say. */
MUST_USE ErrCode websocket_begin(HttpRequest *request, Error *err);
/* One message of UTF-8. Never waits: who has much to say looks at websocket_unsent() before.
 * ERR_CANCELLED: the client has gone. */
MUST_USE ErrCode websocket_send(HttpRequest *request, Str text, Error *err);
/* Bytes that the client has not taken. One that takes none for the server's write timeout is cut
 * off, as is one that doesn't answer pings for its idle timeout. */
size_t websocket_unsent(HttpRequest *request);
void websocket_ping(HttpRequest *request);
/* Says goodbye; the request must not be touched any more. `reason` is cut to what a close frame
 * holds. */
void websocket_end(HttpRequest *request, unsigned code, Str reason);

"""The proxy's own answers. Texts are Traefik's (3.7, pkg/server/router, pkg/server/service, pkg/proxy/httputil): both answer alike."""

from pinfeather.proxy.passage import Answer

NOT_FOUND = Answer.error(404, "404 page not found")
NO_SERVER = Answer.error(503, "no available server")
CLOSED = Answer.error(503)
MISDIRECTED = Answer.error(421)  # pkg/middlewares/snicheck
BAD_GATEWAY = Answer(502, b"Bad Gateway")
GATEWAY_TIMEOUT = Answer(504, b"Gateway Timeout")
BUSY = Answer.error(503)
TOO_SLOW = Answer.error(408)
UNEXPECTED = Answer.error(417)
BAD_REQUEST = Answer.error(400)
OUR_FAULT = Answer.error(500)

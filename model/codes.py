"""The closed vocabulary of findings. `docs/codes.md` is made of this table."""

from __future__ import annotations

from enum import StrEnum


class Code(StrEnum):
    """Every code that is not made of a feature. `loss.*`, `carried.*` and `near.*` are: see `features.Feature`."""

    SYNTAX = "input.syntax"
    ENCODING = "input.encoding"
    EMPTY = "input.empty"
    TOO_LARGE = "input.too-large"
    TOO_DEEP = "input.too-deep"
    ALIASES = "input.aliases"
    DUPLICATE_KEY = "input.duplicate-key"
    TAG = "input.tag"
    KEY = "input.key"
    VALUE = "input.value"
    REFERENCE = "input.reference"
    NAME_CLASH = "input.name-clash"
    WEIGHTS = "input.weights"
    COOKIE = "input.cookie"
    REGEX = "input.regex"
    RULE = "input.rule"
    ACTION = "input.template-action"
    FORMAT = "input.format"
    OPTION = "input.option"
    FILE = "input.file"
    TEMPLATE = "input.template"
    UNKNOWN = "unread.unknown"
    UNSUPPORTED = "unread.unsupported"
    SCOPE = "unread.scope"
    ASSUMED = "lint.assumed"
    EXTERNAL = "lint.external-reference"
    INTERNAL = "lint.internal-reference"
    COOKIE_INSECURE = "lint.cookie-insecure"
    COOKIE_READABLE = "lint.cookie-readable"
    COOKIE_SAME_SITE = "lint.cookie-same-site"
    COOKIE_LIFETIME = "lint.cookie-lifetime"
    SAME_SITE_NONE = "lint.same-site-none"
    COOKIE_SHARED = "lint.cookie-shared"
    COOKIE_NESTED = "lint.cookie-nested"
    COOKIE_REGEX = "lint.cookie-regex"
    NO_HEALTH_CHECK = "lint.no-health-check"
    STICKY_ONE = "lint.sticky-one-child"
    STICKY_EMPTY = "lint.sticky-empty"
    STICKY_MIDDLEWARE = "lint.sticky-middleware"
    WEIGHT_SUM = "lint.weight-sum"
    WEIGHT_ZERO = "lint.weight-zero"
    PRIORITY_TIE = "lint.priority-tie"
    NEVER_WINS = "lint.never-wins"
    TLS_MIXED = "lint.tls-mixed"
    FALL_THROUGH = "lint.fall-through"
    TLS_OPTIONS = "lint.tls-options-differ"
    CANARY_PRIORITY = "lint.canary-priority"
    APP_COOKIE = "lint.app-cookie"
    COOKIE_CROSS_SITE = "lint.cookie-cross-site"
    COOKIE_CACHED = "lint.cookie-cached"
    SPLIT_UNPINNED = "lint.split-unpinned"
    STICKY_SOME_ROUTES = "lint.sticky-some-routes"
    STICKY_ONE_SERVER = "lint.sticky-one-server"
    STICKY_STATELESS = "lint.sticky-stateless"
    STICKY_WEBSOCKET = "lint.sticky-websocket"
    STICKY_RETRY = "lint.sticky-retry"
    STICKY_SCALED = "lint.sticky-scaled"
    V2_SYNTAX = "lint.v2-syntax"
    UNEXPANDED = "lint.unexpanded"
    SETTING_IGNORED = "lint.setting-ignored"
    SETTING_REMOVED = "lint.setting-removed"
    LABELS_IGNORED = "lint.labels-ignored"
    LABELS_REJECTED = "lint.labels-rejected"
    LABEL_TWICE = "lint.label-twice"
    NATIVE_LB = "lint.native-lb"
    COLLISION = "lint.collision"
    OLD_API_GROUP = "lint.old-api-group"
    ANNOTATION_SINGULAR = "lint.annotation-singular"
    PATCH_FRAGMENT = "lint.patch-fragment"
    CERT_MANAGER = "lint.cert-manager"
    API_INSECURE = "lint.api-insecure"
    IGNORE_UNUSED = "lint.ignore-unused"
    IGNORE_REASON = "lint.ignore-without-reason"
    CRD_VERSION = "near.crd-version"
    PLUGIN_LOAD = "plugin.load"
    PLUGIN_CLASH = "plugin.clash"
    PLUGIN_HOOK = "plugin.hook"
    PLUGIN_RAISED = "plugin.raised"
    BUG_READ_BACK = "bug.read-back"
    BUG_SECOND_PASS = "bug.second-pass"  # noqa: S105 - no password
    BUG = "bug.internal"


MEANINGS: dict[Code, tuple[str, str]] = {
    Code.SYNTAX: ("The text is not what its language allows.", "Repair it at the place named."),
    Code.ENCODING: ("The text is not UTF-8, or holds a character that no text here may hold.", "Save it as UTF-8 without control characters."),
    Code.EMPTY: ("There is nothing in the file.", "Name another file, or write a document."),
    Code.TOO_LARGE: ("A document is larger than a reader takes.", "Split it, or raise the cap."),
    Code.TOO_DEEP: ("Something is nested more deeply than any configuration is.", "Flatten it."),
    Code.ALIASES: ("Aliases or merge keys multiply the text beyond bounds.", "Write it out."),
    Code.DUPLICATE_KEY: ("A key stands twice in one mapping; readers differ in which one counts.", "Remove one."),
    Code.TAG: ("A YAML tag asks for more than plain data.", "Remove the tag."),
    Code.KEY: ("A key is not a text.", "Put it in quotes."),
    Code.VALUE: ("A value is missing, of the wrong kind, or out of range.", "The message says what is wanted."),
    Code.REFERENCE: ("Something is named that is nowhere. A real Traefik disables such a router, and its traffic falls to another.", "Define it, or repair the name."),
    Code.NAME_CLASH: ("Two things have one name.", "Rename one; both places are named."),
    Code.WEIGHTS: ("The weights send nobody anywhere, or name a variant twice.", "Give one of them a weight above 0, or add them up."),
    Code.COOKIE: ("Browsers would refuse the cookie.", "The message says which attribute is missing."),
    Code.REGEX: ("RE2 refuses the regex; Traefik would disable the router.", "Write it without look-around and backreferences."),
    Code.RULE: ("A rule cannot be read.", "The message points at the place in the rule."),
    Code.ACTION: ("A Go template action stands in a file that Traefik would execute.", "Render the file first."),
    Code.FORMAT: ("The format is not known, or not clear.", "Say --from or --to; `pinfeather formats` lists them."),
    Code.OPTION: ("An option does not fit the format.", "`pinfeather formats NAME` lists its options."),
    Code.FILE: ("A file cannot be read.", "The message says why."),
    Code.TEMPLATE: ("A template stands where a value is needed.", "Write the value in its place."),
    Code.UNKNOWN: ("A key that nobody knows.", "Repair it; the nearest known key is named."),
    Code.UNSUPPORTED: ("A key that the dialect knows and the model does not.", "Allow it to go without it, or keep it out of what is converted."),
    Code.SCOPE: ("A part of the file that is about something else. It is counted and left alone.", "Nothing."),
    Code.ASSUMED: ("Something is not written, and what the proxy does then was assumed.", "Write it, so that nothing is left to a default."),
    Code.EXTERNAL: ("A reference to another provider, which cannot be looked at here.", "Check that it exists there."),
    Code.INTERNAL: ("A route opens Traefik's own API, dashboard or metrics to everybody.", "Let it pass an authentication or a list of addresses first."),
    Code.COOKIE_INSECURE: ("A cookie without Secure also travels over plain HTTP.", "Say `secure: true`."),
    Code.COOKIE_READABLE: ("A cookie without HttpOnly can be read by scripts.", "Say `http_only: true`."),
    Code.COOKIE_SAME_SITE: ("A cookie without SameSite: browsers differ in what they assume.", "Say `same_site: lax`."),
    Code.COOKIE_LIFETIME: ("A cookie asks to be kept longer than browsers keep one.", "Say 400 days or less."),
    Code.SAME_SITE_NONE: ("SameSite=None without Secure: browsers drop the cookie, nobody is pinned.", "Say `secure: true`."),
    Code.COOKIE_SHARED: ("Two services of one route share a cookie name: who goes there and back loses the pin.", "Give each a name of its own."),
    Code.COOKIE_NESTED: ("One cookie name on two levels: each overwrites the other, nobody is pinned.", "Give the two levels two names."),
    Code.COOKIE_REGEX: ("A regex over the whole Cookie header also takes other cookies.", "Match the cookie by name and value."),
    Code.NO_HEALTH_CHECK: ("Clients are pinned, and a dead server keeps them.", "Add a health check."),
    Code.STICKY_ONE: ("A variant cookie over one variant pins nothing.", "Move `sticky` into the service."),
    Code.STICKY_EMPTY: ("`sticky` without a cookie does nothing.", "Name a cookie, or remove it."),
    Code.STICKY_MIDDLEWARE: ("There is no sticky middleware: Traefik refuses all that holds one.", "Write it under the service: `loadBalancer.sticky.cookie`."),
    Code.WEIGHT_SUM: ("Weights that look like percent do not sum to 100.", "They are shares of their sum."),
    Code.WEIGHT_ZERO: ("A variant of weight 0 loses its clients at once.", "Say `weight_zero: keep` to let them stay."),
    Code.PRIORITY_TIE: ("Two routes of one priority may hold for one request; Traefik chooses at random.", "Give them two priorities."),
    Code.NEVER_WINS: ("A route asks for what an earlier one has taken already.", "Remove it, or let it ask for something else."),
    Code.TLS_MIXED: ("A route without `tls` comes before one with it: unless the entry point speaks TLS, Traefik never asks the first about a TLS request, and its middlewares are passed by.", "Say `tls` on both, or give each entry points of its own."),
    Code.FALL_THROUGH: ("If Traefik cannot build a middleware (a file of users that is not there, another provider's that is gone), it forgets the router, and one behind it takes its requests, without the middleware.", "Give the one behind it the same middleware, or let nothing behind it take these requests."),
    Code.TLS_OPTIONS: ("Two routes of one host ask for different TLS options: Traefik then uses the default ones for both.", "Name the same options on both."),
    Code.CANARY_PRIORITY: ("A canary comes after the route that it should come before: it never wins, or at random.", "Give it a higher priority."),
    Code.APP_COOKIE: ("The sticky cookie has the name of a cookie that applications set: one overwrites the other.", "Give it a name of its own, such as `srv_id`."),
    Code.COOKIE_CROSS_SITE: ("SameSite=None: requests that other sites start carry the cookie too.", "Say `same_site: lax`, unless the application is embedded elsewhere."),
    Code.COOKIE_CACHED: ("A response that caches may keep carries the sticky cookie: many users get one cookie, and one server.", "Keep it out of shared caches: `Cache-Control: private`."),
    Code.SPLIT_UNPINNED: ("Servers are pinned, but the variants above them are drawn anew at each request: clients flip between versions.", "Give the split a cookie of its own."),
    Code.STICKY_SOME_ROUTES: ("Some routes to the same servers pin clients and others do not: who comes by the others loses the session.", "Let all of them lead to the one sticky service."),
    Code.STICKY_ONE_SERVER: ("Stickiness over one server shows no effect.", "Add servers, or leave it out."),
    Code.STICKY_STATELESS: ("What looks stateless is pinned: stickiness only makes the load uneven.", "Leave `sticky` out where any server can answer."),
    Code.STICKY_WEBSOCKET: ("A WebSocket stays on its connection; the cookie matters for the next connection only.", "Keep it for reconnects, or leave it out."),
    Code.STICKY_RETRY: ("A retry of a pinned client goes to the same server, dead or not.", "Add a health check, so that a dead server loses its pins."),
    Code.STICKY_SCALED: ("Servers come and go under a pin: who is pinned to one that goes is drawn anew, and what it held in memory is gone.", "Keep sessions in a shared store."),
    Code.V2_SYNTAX: ("A rule in the syntax of Traefik 2, which Traefik 3 refuses or takes for something else.", "Write it in the v3 syntax; `lint --fix` does."),
    Code.UNEXPANDED: ("A variable that nobody has replaced stands where a value is meant.", "Render the file first, or give --env-file or --bind."),
    Code.SETTING_IGNORED: ("The proxy ignores a setting in this place.", "The message says where it works."),
    Code.SETTING_REMOVED: ("A setting that the program knew once and no longer does.", "The message says what took its place."),
    Code.LABELS_IGNORED: ("Traefik does not look at these labels.", "The message says why."),
    Code.LABELS_REJECTED: ("Traefik refuses a label, and with it every label of the container: all of its routes are gone.", "Repair the label that is named."),
    Code.LABEL_TWICE: ("A label stands twice; the last one wins.", "Remove one; both lines are named."),
    Code.NATIVE_LB: ("With nativeLB there is one server, the Service itself: the cookie pins nothing, kube-proxy draws the pod.", "Leave nativeLB out, or `sticky`."),
    Code.COLLISION: ("Two things get one name in the proxy; the last one wins, and its settings hold for both.", "Give them different names."),
    Code.OLD_API_GROUP: ("`traefik.containo.us` is the API group of Traefik 2; Traefik 3 does not look at it.", "Write `traefik.io/v1alpha1`."),
    Code.ANNOTATION_SINGULAR: ("`annotation:` is no field of an object: what stands below it is dropped.", "Write `annotations:`."),
    Code.PATCH_FRAGMENT: ("A part of an object, meant to be merged into another: it says nothing by itself.", "Build the whole first, such as with `kustomize build`."),
    Code.CERT_MANAGER: ("Certificates or DNS records hang on annotations that the target does not have: they would no longer be renewed or written.", "Write a `Certificate`, or the record, by itself."),
    Code.API_INSECURE: ("Traefik's API and dashboard are open to everybody who reaches the port.", "Take `api.insecure` out; route `api@internal` behind authentication."),
    Code.IGNORE_UNUSED: ("An ignore that matches no finding.", "Remove it."),
    Code.IGNORE_REASON: ("An ignore without a reason ignores nothing.", "Say why: `# pinfeather: ignore CODE: reason`."),
    Code.CRD_VERSION: ("An object holds a field that the CRD in the cluster does not know: the API server would drop it. Deploying stops before anything is made.", "Install the CRDs of the proxy that is deployed, or say its version as an option of the format."),
    Code.PLUGIN_LOAD: ("A plugin raised when it was loaded.", "Repair or remove the distribution that is named."),
    Code.PLUGIN_CLASH: ("Two plugins bring a format of one name.", "Rename one."),
    Code.PLUGIN_HOOK: ("A plugin's hook is misspelt, missing, or returns something else.", "The one hook is `pinfeather_translators()`."),
    Code.PLUGIN_RAISED: ("A plugin's format raised.", "Report it to its authors, with the input."),
    Code.BUG_READ_BACK: ("What was written does not read back as what was meant. Nothing was written.", "Report it, with the input."),
    Code.BUG_SECOND_PASS: ("A second pass gave other bytes.", "Report it, with the input."),
    Code.BUG: ("A fault of ours.", "Report it, with the input."),
}  # fmt: skip
"""One sentence and one remedy for each code: the page `docs/codes.md`."""

import type { ErrorCode } from './errors.ts'

/** Explanation of an error for people, beside its message. */
export interface ErrorWords {
  /** One sentence: what happened. */
  readonly meaning: string
  /** One sentence: what to do. */
  readonly cure: string
}

export const ERROR_WORDS: Readonly<Record<ErrorCode, ErrorWords>> = {
  SLW_BAD_REQUEST: {
    meaning: 'The request cannot be read.',
    cure: 'Correct the place that the message names.',
  },
  SLW_INPUT_INVALID: {
    meaning: 'The request is well formed, but its values do not fit the signature of the model.',
    cure: 'Compare with `slipway inspect` or the model metadata; every issue has a path.',
  },
  SLW_LIMIT_EXCEEDED: {
    meaning: 'The request is larger than a limit of the server (rows, elements, nesting).',
    cure: 'Send less in one request, or raise the limit that the message names.',
  },
  SLW_RUN_REJECTED: {
    meaning: 'The model itself refused these inputs while it ran (an index out of bounds, say).',
    cure: 'Check the values; a range in slipway.yaml refuses them earlier and with a better message.',
  },
  SLW_BODY_TOO_LARGE: {
    meaning: 'The body is larger than `limits.bodyBytes`.',
    cure: 'Send fewer rows, use binary tensors, or raise the limit.',
  },
  SLW_OUTPUT_TOO_LARGE: {
    meaning: 'The answer would be larger than `maxOutputBytes`.',
    cure: 'Send fewer rows or smaller ones, ask for fewer outputs, or raise maxOutputBytes.',
  },
  SLW_NOT_ACCEPTABLE: {
    meaning: 'The Accept header asks for a form of the answer that there is not.',
    cure: 'Accept one of the types that the message names.',
  },
  SLW_UNSUPPORTED_MEDIA_TYPE: {
    meaning: 'The Content-Type or Content-Encoding is not one that this route reads.',
    cure: 'Send one of the types that the message names.',
  },
  SLW_ROUTE_NOT_FOUND: {
    meaning: 'The server has no such route.',
    cure: 'See /docs for the routes.',
  },
  SLW_METHOD_NOT_ALLOWED: {
    meaning: 'The route exists with another method.',
    cure: 'Use the method in the Allow header.',
  },
  SLW_UNAUTHENTICATED: {
    meaning: 'The request came without an API key (or admin token), or with one that the server does not know.',
    cure: 'Send `Authorization: Bearer KEY`, or `X-API-Key: KEY`; whoever runs the server gives keys out.',
  },
  SLW_FORBIDDEN: {
    meaning: 'The API key is known, and does not open this route or model; or the route is closed to everybody.',
    cure: 'Use a key with the scope or model that the message names.',
  },
  SLW_HOST_NOT_ALLOWED: {
    meaning: 'The server listens on loopback, and the Host header names another machine, as a web page that means harm would make it.',
    cure: 'Ask for localhost or 127.0.0.1, or allow the name with `--allowed-hosts`.',
  },
  SLW_MODEL_NOT_FOUND: {
    meaning: 'No model of this name (or version) is served.',
    cure: 'POST /v2/repository/index lists what is.',
  },
  SLW_MODEL_NOT_READY: {
    meaning: 'The model is known, but has no instance that can run: it loads, failed to load, or is backing off.',
    cure: '/health says which and why; retry after the time in Retry-After.',
  },
  SLW_QUEUE_FULL: {
    meaning: 'The scheduler queue of the model is full.',
    cure: 'Retry after the time in Retry-After; add instances, or raise the queue limits.',
  },
  SLW_SECRET_UNAVAILABLE: {
    meaning: 'A secret that is given by reference cannot be looked up.',
    cure: 'The message names the place and what is wrong with it; the value is never part of it.',
  },
  SLW_RATE_LIMITED: {
    meaning: 'More requests than a caller, or more wrong keys than an address, may send in a minute.',
    cure: 'Wait as long as Retry-After says; raise the limit with --requests-per-minute.',
  },
  SLW_DRAINING: {
    meaning: 'The server is shutting down and takes no new work.',
    cure: 'Retry; another replica answers.',
  },
  SLW_INSTANCE_FAILED: {
    meaning: 'The instance that held the request ended (crash, memory limit, kill). It is being replaced.',
    cure: 'Retry; /health and slipway_instance_failures_total say how often it happens.',
  },
  SLW_RUN_TIMEOUT: {
    meaning: 'The run took longer than `runTimeoutMs`.',
    cure: 'Send fewer rows, or raise runTimeoutMs.',
  },
  SLW_DEADLINE_EXCEEDED: {
    meaning: 'The request waited longer than its time-out before it could run.',
    cure: 'Retry later, allow more time, or add instances.',
  },
  SLW_REQUEST_TIMEOUT: {
    meaning: 'The client did not finish sending its request in time.',
    cure: 'Send the whole body; see limits.bodyTimeoutMs.',
  },
  SLW_CANCELLED: {
    meaning: 'The caller went away before its answer was ready.',
    cure: 'Nothing; the work was dropped.',
  },
  SLW_CLOSED: {
    meaning: 'Something was used after it was closed.',
    cure: 'Keep the model or server open while calls are in flight.',
  },
  SLW_RUN_FAILED: {
    meaning: 'The model failed while it ran.',
    cure: 'The message carries the words of the runtime; try the request with `slipway predict`.',
  },
  SLW_INTERNAL: {
    meaning: 'A fault in Slipway.',
    cure: 'Please report it with the message and the request id.',
  },
  SLW_NOT_IMPLEMENTED: {
    meaning: 'The protocol has this feature, and this server has not.',
    cure: 'The message names the feature.',
  },
  SLW_MODEL_INVALID: {
    meaning: 'The file is not a model that can be loaded.',
    cure: 'The message says what was found; `slipway inspect FILE` shows more.',
  },
  SLW_MODEL_UNSAFE: {
    meaning: 'The model reaches outside its folder, claims an absurd size, or runs code when it is loaded.',
    cure: 'Do not serve it as it is. Of your own models: keep external data beside the model as plain files; export what runs code to ONNX, or let it run in the sandbox.',
  },
  SLW_MODEL_UNSUPPORTED: {
    meaning: 'The model uses a type or operator that the runtime cannot do.',
    cure: 'Export it without the thing that the message names.',
  },
  SLW_PACKAGE_INVALID: {
    meaning:
      'slipway.yaml, a config.pbtxt, or the folder around the model, is not a valid model package, or asks for what is not supported.',
    cure: 'The message gives file, line and what was expected; `slipway init` writes a commented example.',
  },
  SLW_GOLDEN_FAILED: {
    meaning: 'A golden example of the package did not give its expected answer.',
    cure: 'The message shows both; correct the model or the example.',
  },
  SLW_MEMORY_EXCEEDED: {
    meaning: 'The model does not fit into `memoryBudgetMb`, whatever is unloaded; or a run took more than `memoryLimitMb`.',
    cure: 'Raise memoryBudgetMb, or serve it with fewer instances; send less at once, or raise memoryLimitMb.',
  },
  SLW_PATH_REFUSED: {
    meaning: 'A path lies outside the folders that the server may load models from.',
    cure: 'Put the model into a served folder, or start the server with --model-root FOLDER.',
  },
  SLW_CONFLICT: {
    meaning: 'The change does not fit the present state.',
    cure: 'The message says what stands in the way.',
  },
  SLW_LATENCY_GOAL: {
    meaning:
      'The request would have been answered later than `latencyGoalMs`, by the measured cost of what waits before it, or has waited longer than `queueTimeoutUs`.',
    cure: 'Retry after the time in Retry-After; add instances or replicas, or allow more time.',
  },
  SLW_LOAD_FAILED: {
    meaning: 'The runtime could not load or warm the model.',
    cure: 'The message carries the words of the runtime.',
  },
  SLW_NOT_FOUND: {
    meaning: 'The registry has no such object, or its object store no such file.',
    cure: 'Check the name; what was deleted lies in the trash for a while.',
  },
  SLW_ALREADY_EXISTS: {
    meaning: 'Something of that name is already there.',
    cure: 'Use it, or choose another name.',
  },
  SLW_PRECONDITION_FAILED: {
    meaning: 'Somebody else has changed the object since it was read (If-Match).',
    cure: 'Read it again, and repeat the change on what it is now.',
  },
  SLW_CONTRACT_BREAKING: {
    meaning: 'Clients of the version that an alias points to would not be understood by the other version, or would not understand it.',
    cure: 'Register a version that takes and gives what the message names, or allow the break (`--allow-breaking`).',
  },
  SLW_POLICY_REFUSED: {
    meaning: 'A policy of the model does not allow it: an approval or a signature is missing.',
    cure: 'The message names each policy and the command that satisfies it.',
  },
  SLW_SIGNATURE_INVALID: {
    meaning: 'A signature of a model does not hold: its bytes, its signer or the files are not what was signed.',
    cure: 'The message says which; sign the files again, or do not use them.',
  },
  SLW_IDEMPOTENCY_CONFLICT: {
    meaning: 'The Idempotency-Key was used before for another request.',
    cure: 'Use a new key for each request that is meant anew.',
  },
  SLW_FEED_EXPIRED: {
    meaning: 'The feed of events does not go back, or forward, to the place that was asked for.',
    cure: 'Read the present state anew, and follow the feed from the sequence that the answer names.',
  },
  SLW_RANGE_INVALID: {
    meaning: 'The bytes that were asked for are not in the file.',
    cure: 'Ask for less than its size, which the message names.',
  },
  SLW_DATABASE_UNAVAILABLE: {
    meaning: 'The database does not answer.',
    cure: 'Try again later; see `/health` of the control plane.',
  },
  SLW_DATABASE_VERSION: {
    meaning: 'The schema of the database is not the one that this release works with.',
    cure: 'Run the command that the message names.',
  },
  SLW_DATABASE_IN_USE: {
    meaning: 'Another control plane has this SQLite database open.',
    cure: 'Ask the control plane that runs, as most commands do (keys: `slipway token`), or stop it; several at once need PostgreSQL.',
  },
  SLW_STORE_UNAVAILABLE: {
    meaning: 'The object store does not answer.',
    cure: 'Try again later; see `/health` of the control plane.',
  },
  SLW_STORE_CORRUPT: {
    meaning: 'What the object store holds is not what was put there.',
    cure: 'Restore the object from a backup; the message names it.',
  },
  SLW_LEASE_LOST: {
    meaning: 'Somebody else has taken over the work that this process was doing.',
    cure: 'Nothing: the work goes on there.',
  },
  SLW_CONFIG_INVALID: {
    meaning: 'A flag, environment variable or line of the server file is wrong.',
    cure: 'The message names the place and what was expected; `slipway config view --show-origin` shows where values come from.',
  },
  SLW_USAGE: {
    meaning: 'The command line is wrong.',
    cure: 'See `slipway COMMAND --help`.',
  },
  SLW_PATH_NOT_FOUND: {
    meaning: 'A file or folder that was named does not exist.',
    cure: 'Check the path; it is relative to the current folder.',
  },
  SLW_PORT_IN_USE: {
    meaning: 'Another process listens on the port or socket.',
    cure: 'Stop it, or choose another with --port or --socket.',
  },
  SLW_HOST_REFUSED: {
    meaning: 'Listening beyond this machine without protection was refused.',
    cure: 'Give --api-keys-file and --tls-cert with --tls-key, or keys and --behind-proxy, or --insecure if the network is trusted.',
  },
  SLW_DEPENDENCY_MISSING: {
    meaning: 'An optional package is needed and not installed.',
    cure: 'Run the install command in the message.',
  },
  SLW_UNREACHABLE: {
    meaning: 'A server that the command talks to does not answer.',
    cure: 'Check the address and that the server runs.',
  },
  SLW_CIRCUIT_OPEN: {
    meaning: 'The breaker of a client is open: the model failed too often a moment ago, and the request was not sent.',
    cure: 'See why it fails; the client asks again by itself. A fallback answers meanwhile.',
  },
  SLW_ANSWER_INVALID: {
    meaning: 'A client was answered with what it cannot read.',
    cure: 'Check the address: something else listens there, or stands in between.',
  },
  SLW_CLUSTER_FORBIDDEN: {
    meaning: 'The cluster does not let this user do what is asked.',
    cure: 'Give the user or service account the verb on the resource that the message names, with a Role and a RoleBinding.',
  },
  SLW_CLUSTER_REFUSED: {
    meaning: 'The API server of the cluster refuses an object: a field it does not know, a value out of range, a policy of admission.',
    cure: 'Correct the field that the message names, or what the document says that it is made of.',
  },
  SLW_KIND_MISSING: {
    meaning: 'The cluster does not know a kind of object.',
    cure: 'Install the project that the message names, or leave out the option that needs it.',
  },
  SLW_FIELD_CONFLICT: {
    meaning: 'Fields that are to be changed belong to another manager.',
    cure: 'Let that manager give the fields up, leave them out of the document, or take them over with --force.',
  },
  SLW_NOT_ROLLED_OUT: {
    meaning: 'What was applied is not ready on the cluster.',
    cure: 'Correct what the message names and apply again, or go back with `slipway undo`.',
  },
}

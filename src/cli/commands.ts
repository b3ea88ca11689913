import type { Command } from 'commander'

/** A module that adds arguments, options and the action of one command. */
export interface CommandModule {
  define(command: Command): void
}

/** All commands, in the order of the help. */
export const COMMANDS: Readonly<Record<string, { summary: string; load: () => Promise<CommandModule> }>> = {
  up: { summary: 'start the registry and a local server', load: () => import('./control-plane/up.ts') },
  serve: { summary: 'serve models over HTTP', load: () => import('./server/serve.ts') },
  lambda: { summary: 'answer the calls of a function of AWS Lambda', load: () => import('./server/lambda.ts') },
  predict: { summary: 'answer rows with a model, without a server', load: () => import('./model/predict.ts') },
  inspect: { summary: 'show what a model takes, gives and costs, or how a server is', load: () => import('./model/inspect.ts') },
  bench: { summary: 'measure a server or a model', load: () => import('./server/bench.ts') },
  tune: { summary: 'find the best instances, threads and batch size for this machine', load: () => import('./tune/tune.ts') },
  init: { summary: 'write a commented slipway.yaml for a model', load: () => import('./model/init.ts') },
  client: { summary: 'typed clients of a model, for TypeScript and Python', load: () => import('./client/client.ts') },
  demo: { summary: 'serve an example and send it real requests', load: () => import('./demo/demo.ts') },
  doctor: { summary: 'check that this machine can serve', load: () => import('./doctor.ts') },
  model: { summary: 'push, find, approve, sign and compare models and versions', load: () => import('./model/model.ts') },
  alias: { summary: 'point movable names to versions', load: () => import('./model/alias.ts') },
  apply: { summary: 'make endpoints what files declare', load: () => import('./endpoint/apply.ts') },
  deploy: { summary: 'serve a version, or whatever an alias points to', load: () => import('./endpoint/deploy.ts') },
  rollout: { summary: 'walk an endpoint to another version, and back where it is worse', load: () => import('./rollout/rollout.ts') },
  traffic: {
    summary: 'how the requests of an endpoint are shared out, and how they are to be',
    load: () => import('./endpoint/traffic.ts'),
  },
  feedback: {
    summary: 'true outcomes of predictions: send them, and see how right versions were',
    load: () => import('./feedback/feedback.ts'),
  },
  endpoint: { summary: 'endpoints: show, compare, roll back', load: () => import('./endpoint/endpoint.ts') },
  records: { summary: 'what predictions were asked and answered: show, export, forget', load: () => import('./records/records.ts') },
  top: { summary: 'what is asked of each version now, over all servers', load: () => import('./server/top.ts') },
  server: { summary: 'the servers that follow a control plane', load: () => import('./server/server.ts') },
  admin: { summary: 'switch, load and unload models of a running server', load: () => import('./server/admin.ts') },
  gate: { summary: 'whether a version may get traffic: evaluate it before it does', load: () => import('./gate/gate.ts') },
  build: { summary: 'build an image of a model and its server, without Docker', load: () => import('./image/build.ts') },
  promote: { summary: 'bring a version into another environment', load: () => import('./model/promote.ts') },
  experiment: { summary: 'find experiments', load: () => import('./run/experiment.ts') },
  run: { summary: 'find training runs', load: () => import('./run/run.ts') },
  history: { summary: 'what was changed about a model, by whom and why', load: () => import('./control-plane/history.ts') },
  events: { summary: 'what is changed in the registry', load: () => import('./control-plane/events.ts') },
  webhook: { summary: 'tell others of changes', load: () => import('./control-plane/webhook.ts') },
  signer: { summary: 'whose signatures of models are believed', load: () => import('./model/signer.ts') },
  image: { summary: 'images of OCI in registries: copy, sign and verify them', load: () => import('./image/image.ts') },
  registry: { summary: 'bring over what another registry has', load: () => import('./control-plane/registry-import.ts') },
  work: { summary: 'what is done in the background', load: () => import('./control-plane/work.ts') },
  context: { summary: 'remember control planes and the keys for them', load: () => import('./control-plane/context.ts') },
  login: { summary: 'sign in to a control plane', load: () => import('./access/login.ts') },
  logout: { summary: 'sign out', load: () => import('./access/logout.ts') },
  whoami: { summary: 'who is signed in, and what they may do', load: () => import('./access/whoami.ts') },
  token: { summary: 'make, list and revoke tokens over the API', load: () => import('./access/token.ts') },
  role: { summary: 'who may do what', load: () => import('./access/role.ts') },
  environment: { summary: 'environments such as staging and production', load: () => import('./control-plane/environment.ts') },
  keys: { summary: 'make, list and revoke keys of the registry', load: () => import('./access/keys.ts') },
  backup: { summary: 'keep everything of a running control plane in one file', load: () => import('./control-plane/backup.ts') },
  restore: { summary: 'bring back what a backup holds', load: () => import('./control-plane/restore.ts') },
  migrate: { summary: 'bring a database up to date', load: () => import('./control-plane/migrate.ts') },
  config: { summary: 'show the configuration and where it comes from', load: () => import('./config.ts') },
  version: { summary: 'print versions', load: () => import('./version.ts') },
}

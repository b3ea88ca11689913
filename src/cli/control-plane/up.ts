import { randomBytes } from 'node:crypto'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { Secrets } from '../../security/secrets/secrets.ts'
import { SlipwayError } from '../../core/errors.ts'
import { slipwayVersion } from '../../core/version.ts'
import { ROLES } from '../../contract/roles.ts'
import { LocalServer } from '../../control-plane/local-server.ts'
import { startControlPlane } from '../../control-plane/start-control-plane.ts'
import { openLogger, LogOutput } from '../../server/log-output.ts'
import { print, style } from '../output.ts'
import type { Role } from '../../contract/roles.ts'
import type { ControlPlaneOptions } from '../../control-plane/settings.ts'
import type { Command } from 'commander'

interface UpOptions {
  readonly data: string
  readonly db?: string
  readonly objects?: string
  readonly host: string
  readonly port: string
  readonly serverPort: string
  readonly server: boolean
  readonly sandboxPython?: string
  readonly allowedHosts?: string[]
  readonly allowPrivateAddresses: boolean
  readonly directTransfers: boolean
  readonly publicUrl?: string
  readonly tlsCert?: string
  readonly tlsKey?: string
  readonly tlsClientCa?: string
  readonly behindProxy: boolean
  readonly insecure: boolean
  readonly requestsPerMinute?: string
  readonly connectionsPerAddress?: string
  readonly recordsDays?: string
  readonly smtpUrl?: string
  readonly smtpFrom?: string
  readonly smtpPassword?: string
  readonly oidcIssuer?: string
  readonly oidcClientId?: string
  readonly oidcClientSecret?: string
  readonly dbPassword?: string
  readonly oidcGroupsClaim?: string
  readonly oidcScope?: string
  readonly oidcDefaultRole?: string
  readonly oidcAdmin?: string[]
}

export function define(command: Command): void {
  command
    .option('--data <folder>', 'where the database and files lie', '.slipway')
    .option('--db <url>', 'sqlite:PATH or postgres://...; default: a file in the data folder')
    .option('--db-password <reference>', 'where the password of the PostgreSQL user lies: env:NAME, file:PATH, vault:..., aws-sm:...')
    .option('--objects <url>', 'file:PATH or s3://bucket/prefix; default: a folder in the data folder')
    .option('--host <host>', 'address to listen on', '127.0.0.1')
    .option('--port <n>', 'port of the control plane; 0 takes a free one', '8480')
    .option('--server-port <n>', 'port of the local server', '8470')
    .option('--no-server', 'without a local server')
    .option('--sandbox-python <path>', 'interpreter with scikit-learn, in which the local server runs models that are pickles, confined')
    .option('--allowed-hosts <name...>', 'names that this machine is asked by, beside localhost')
    .option('--allow-private-addresses', 'webhooks may tell addresses of this machine and its network', false)
    .option('--public-url <url>', 'by which clients reach this, also through proxies; clients of MLflow 3 then send large files in parts')
    .option(
      '--direct-transfers',
      'clients of MLflow send and get large files from the bucket itself, which they must be able to reach',
      false,
    )
    .option('--tls-cert <file>', 'certificate (PEM); read again when it changes')
    .option('--tls-key <file>', 'its key (PEM)')
    .option('--tls-client-ca <file>', 'authorities of clients: only clients with a certificate of theirs get in')
    .option('--behind-proxy', 'a proxy before this speaks TLS', false)
    .option('--insecure', 'listen beyond this machine without TLS all the same', false)
    .option('--requests-per-minute <n>', 'that one caller may send; default: 60000')
    .option('--connections-per-address <n>', 'that may be open at a time; default: 1000, none behind a proxy')
    .option('--records-days <n>', 'for which records of predictions are kept; default: 30')
    .option('--smtp-url <url>', 'server that takes mail: smtp://[USER@]HOST[:PORT], smtps://... for TLS from the start; default: none')
    .option('--smtp-from <address>', 'who mail is from')
    .option('--smtp-password <reference>', 'where the password of its user lies: env:NAME, file:PATH, vault:..., aws-sm:...')
    .option('--oidc-issuer <url>', 'OpenID Connect issuer at which people sign in')
    .option('--oidc-client-id <id>', 'what this is known as there')
    .option('--oidc-client-secret <reference>', 'where its secret lies; default: a public client')
    .option('--oidc-groups-claim <name>', 'claim with the groups of a person; default: groups')
    .option('--oidc-scope <text>', 'what is asked for; default: openid profile email')
    .option('--oidc-default-role <role>', 'what everybody who can sign in may do; default: nothing')
    .option('--oidc-admin <who...>', 'addresses of the first admins')
    .addHelpText('after', '\nExamples:\n  slipway up\n  slipway up --db postgres://slipway@db/slipway --objects s3://models/registry')
    .action(async (options: UpOptions) => up(options))
}

async function up(options: UpOptions): Promise<void> {
  const data = resolve(options.data)
  await mkdir(data, { recursive: true })
  const logger = openLogger(new LogOutput(undefined), process.stderr.isTTY ? 'warn' : 'info')
  const { promise: stopped, resolve: stop } = Promise.withResolvers<NodeJS.Signals>()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop(signal))
  const secrets = new Secrets({ log: logger })
  const serverPort = portOf(options.serverPort, '--server-port')
  await using opened = new AsyncDisposableStack()
  const key = randomBytes(24).toString('base64url')
  const keyFile = join(data, 'server.key')
  let server: LocalServer | undefined
  const plane = opened.use(
    await startControlPlane({
      data,
      database: options.db,
      objects: options.objects,
      host: options.host,
      port: portOf(options.port, '--port'),
      logger,
      allowedHosts: options.allowedHosts ?? [],
      allowPrivateAddresses: options.allowPrivateAddresses,
      directTransfers: options.directTransfers,
      publicUrl: options.publicUrl,
      tls: tlsOf(options),
      behindProxy: options.behindProxy,
      insecure: options.insecure,
      ...(options.connectionsPerAddress !== undefined && {
        connections: { perAddress: countOf(options.connectionsPerAddress, '--connections-per-address') },
      }),
      requestsPerMinute: options.requestsPerMinute === undefined ? undefined : countOf(options.requestsPerMinute, '--requests-per-minute'),
      recordsDays: options.recordsDays === undefined ? undefined : countOf(options.recordsDays, '--records-days'),
      secrets,
      databasePassword: options.dbPassword === undefined ? undefined : secrets.secret('--db-password', options.dbPassword),
      mail: mailOf(options, secrets),
      signIn: signInOf(options, secrets),
      ...(options.server && {
        serving: { url: `http://127.0.0.1:${serverPort}`, key, onEndpoints: () => server?.start() },
      }),
    }),
  )
  if (options.server) {
    await rm(keyFile, { force: true })
    await writeFile(keyFile, `${key}\n`, { mode: 0o600 })
    const local = opened.use(
      new LocalServer({
        controlPlane: plane.localUrl ?? plane.url.replace('//0.0.0.0:', '//127.0.0.1:').replace('//[::]:', '//[::1]:'),
        keyFile,
        store: join(data, 'store'),
        host: '127.0.0.1',
        port: serverPort,
        sandboxPython: options.sandboxPython,
        pidFile: join(data, 'server.pid'),
        log: logger,
      }),
    )
    await local.prepare()
    server = local
  }
  logger.info({ url: plane.url, version: slipwayVersion(), node: process.version, pid: process.pid }, 'control plane started')
  print(banner(plane.url, options.server ? `http://127.0.0.1:${serverPort}` : undefined, data))
  const signal = await stopped
  logger.info({ signal }, 'control plane stops: what was accepted is answered')
}

function tlsOf({ tlsCert: cert, tlsKey: key, tlsClientCa: clientCa }: UpOptions): ControlPlaneOptions['tls'] {
  if (cert === undefined && key === undefined && clientCa === undefined) return undefined
  if (cert === undefined || key === undefined) throw new SlipwayError('SLW_USAGE', '--tls-cert and --tls-key belong together')
  return { cert, key, clientCa }
}

function mailOf({ smtpUrl: url, smtpFrom: from, smtpPassword }: UpOptions, secrets: Secrets): ControlPlaneOptions['mail'] {
  if (url === undefined && from === undefined && smtpPassword === undefined) return undefined
  if (url === undefined || from === undefined) throw new SlipwayError('SLW_USAGE', '--smtp-url and --smtp-from belong together')
  return { url, from, password: smtpPassword === undefined ? undefined : secrets.secret('--smtp-password', smtpPassword) }
}

function signInOf(options: UpOptions, secrets: Secrets): ControlPlaneOptions['signIn'] {
  const { oidcIssuer: issuer, oidcClientId: clientId, oidcClientSecret, oidcDefaultRole: defaultRole } = options
  if (issuer === undefined) return undefined
  if (!URL.canParse(issuer) || clientId === undefined)
    throw new SlipwayError('SLW_USAGE', '--oidc-issuer is a URL, and needs --oidc-client-id')
  if (defaultRole !== undefined && !(ROLES as readonly string[]).includes(defaultRole))
    throw new SlipwayError('SLW_USAGE', `--oidc-default-role ${defaultRole}: expected ${ROLES.join(', ')}`)
  const secret = oidcClientSecret === undefined ? undefined : secrets.secret('--oidc-client-secret', oidcClientSecret)
  return {
    issuer,
    clientId,
    clientSecret: secret === undefined ? undefined : () => secret.value(),
    groupsClaim: options.oidcGroupsClaim,
    scope: options.oidcScope,
    defaultRole: defaultRole as Role | undefined,
    admins: options.oidcAdmin ?? [],
  }
}

function countOf(text: string, flag: string): number {
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text)
  throw new SlipwayError('SLW_USAGE', `${flag} ${text}: expected a number`)
}

function portOf(text: string, flag: string): number {
  const port = Number(text)
  if (/^\d+$/.test(text) && port <= 65_535) return port
  throw new SlipwayError('SLW_USAGE', `${flag} ${text}: expected a port, 0 to 65535`)
}

/** Where commands look for a control plane when nobody says which. */
const USUAL_URL = 'http://127.0.0.1:8480'

function banner(url: string, server: string | undefined, data: string): string {
  const push = `slipway model push PATH --name churn${server === undefined ? '' : ' --serve'}${url === USUAL_URL ? '' : ` --url ${url}`}`
  const lines = [
    `${style('bold', 'slipway')} is up: ${style('cyan', url)}  (everything lies in ${data})`,
    '',
    `  MLflow clients     export MLFLOW_TRACKING_URI=${url}`,
    `  push a model       ${push}`,
    "  or from Python     mlflow.onnx.log_model(model, name='model', registered_model_name='churn')",
    "                     MlflowClient().set_registered_model_alias('churn', 'champion', '1')",
  ]
  if (server !== undefined) lines.push(`  ask it             curl -d '{...}' ${server}/models/churn/predict`)
  return lines.join('\n')
}

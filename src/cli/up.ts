import { randomBytes } from 'node:crypto'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { SlipwayError } from '../core/errors.ts'
import { LocalServer } from '../control-plane/local-server.ts'
import { startControlPlane } from '../control-plane/start-control-plane.ts'
import { openLogger, LogOutput } from '../server/log-output.ts'
import { print, style } from './output.ts'
import type { Command } from 'commander'

interface UpOptions {
  readonly data: string
  readonly db?: string
  readonly objects?: string
  readonly host: string
  readonly port: string
  readonly serverPort: string
  readonly server: boolean
  readonly allowedHosts?: string[]
  readonly allowPrivateAddresses: boolean
  readonly directTransfers: boolean
  readonly publicUrl?: string
}

export function define(command: Command): void {
  command
    .option('--data <folder>', 'where the database and files lie', '.slipway')
    .option('--db <url>', 'sqlite:PATH or postgres://...; default: a file in the data folder')
    .option('--objects <url>', 'file:PATH or s3://bucket/prefix; default: a folder in the data folder')
    .option('--host <host>', 'address to listen on', '127.0.0.1')
    .option('--port <n>', 'port of the control plane; 0 takes a free one', '8480')
    .option('--server-port <n>', 'port of the local server', '8470')
    .option('--no-server', 'without a local server')
    .option('--allowed-hosts <name...>', 'names that this machine is asked by, beside localhost')
    .option('--allow-private-addresses', 'webhooks may tell addresses of this machine and its network', false)
    .option('--public-url <url>', 'by which clients reach this, also through proxies; clients of MLflow 3 then send large files in parts')
    .option(
      '--direct-transfers',
      'clients of MLflow send and get large files from the bucket itself, which they must be able to reach',
      false,
    )
    .addHelpText('after', '\nExamples:\n  slipway up\n  slipway up --db postgres://slipway@db/slipway --objects s3://models/registry')
    .action(async (options: UpOptions) => up(options))
}

async function up(options: UpOptions): Promise<void> {
  const data = resolve(options.data)
  await mkdir(data, { recursive: true })
  const logger = openLogger(new LogOutput(undefined), process.stderr.isTTY ? 'warn' : 'info')
  const { promise: stopped, resolve: stop } = Promise.withResolvers<void>()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop())
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
      ...(options.server && {
        serving: { url: `http://127.0.0.1:${serverPort}`, key, onEndpoints: async () => server?.start() },
      }),
    }),
  )
  if (options.server) {
    await rm(keyFile, { force: true })
    await writeFile(keyFile, `${key}\n`, { mode: 0o600 })
    server = opened.use(
      new LocalServer({
        controlPlane: plane.url,
        keyFile,
        store: join(data, 'store'),
        host: '127.0.0.1',
        port: serverPort,
        pidFile: join(data, 'server.pid'),
        log: logger,
      }),
    )
  }
  print(banner(plane.url, options.server ? `http://127.0.0.1:${serverPort}` : undefined, data))
  await stopped
}

function portOf(text: string, flag: string): number {
  const port = Number(text)
  if (/^\d+$/.test(text) && port <= 65_535) return port
  throw new SlipwayError('SLW_USAGE', `${flag} ${text}: expected a port, 0 to 65535`)
}

function banner(url: string, server: string | undefined, data: string): string {
  const lines = [
    `${style('bold', 'slipway')} is up: ${style('cyan', url)}  (everything lies in ${data})`,
    '',
    `  MLflow clients     export MLFLOW_TRACKING_URI=${url}`,
    '  push a model       slipway model push PATH --name churn --serve',
    "  or from Python     mlflow.onnx.log_model(model, name='model', registered_model_name='churn')",
    "                     MlflowClient().set_registered_model_alias('churn', 'champion', '1')",
  ]
  if (server !== undefined) lines.push(`  ask it             curl -d '{...}' ${server}/models/churn/predict`)
  return lines.join('\n')
}

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { SlipwayError } from '../../core/errors.ts'
import { readConfig } from '../../server/config.ts'
import { openRuntimeApi } from '../../server/lambda/runtime-api.ts'
import { functionErrorOf, serveInvocations } from '../../server/lambda/serve-invocations.ts'
import { LogOutput, openLogger } from '../../server/log-output.ts'
import { startServer } from '../../server/start-server.ts'
import { note } from '../output.ts'
import { addSettingFlags, flagValues, modelEntries } from './serve.ts'
import type { Command } from 'commander'
import type { StartServerOptions } from '../../server/start-server.ts'

export function define(command: Command): void {
  command
    .argument('[paths...]', 'model files or folders, as of slipway serve. Default: $MODEL_PATH, else the folder model of the function')
    .option('--name <name>', 'name of the model, where one path is given')
    .option('--config <file>', 'server file. Default: slipway.server.yaml, if there is one')
    .option('--response-mode <buffered|stream>', 'stream: for functions that are invoked with response streaming', 'buffered')
  addSettingFlags(command)
  command
    .addHelpText(
      'after',
      '\nRuns in AWS Lambda, as the entry point of an image or the bootstrap of a zip: takes calls from API Gateway, function URLs,\nload balancers and direct ones, and answers them by the routes of slipway serve.\n\nExamples:\n  slipway lambda model\n  slipway lambda churn=models/churn --response-mode stream',
    )
    .action(async (paths: string[], options: Record<string, unknown>) => lambda(paths, options))
}

async function lambda(paths: readonly string[], options: Record<string, unknown>): Promise<void> {
  const address = process.env['AWS_LAMBDA_RUNTIME_API'] ?? ''
  if (address === '')
    throw new SlipwayError(
      'SLW_USAGE',
      'AWS_LAMBDA_RUNTIME_API is not set: slipway lambda runs in AWS Lambda; elsewhere there is slipway serve',
    )
  const mode = options['responseMode']
  if (mode !== 'buffered' && mode !== 'stream')
    throw new SlipwayError('SLW_USAGE', `--response-mode ${String(mode)}: expected buffered or stream`)
  using api = openRuntimeApi(address)
  // Lambda ends an environment between two calls; others do at any time.
  const ending = new AbortController()
  process.once('SIGTERM', () => ending.abort())
  const log = openLogger(new LogOutput(undefined), 'info')
  await using server = await startServer({ ...readOptions(paths, options), logger: log }).catch(async (error: unknown) => {
    await api.failStart(functionErrorOf(error))
    throw error
  })
  const concurrency = Math.max(1, Number.parseInt(process.env['AWS_LAMBDA_MAX_CONCURRENCY'] ?? '1', 10) || 1)
  await serveInvocations({ api, url: server.url, concurrency, stream: mode === 'stream', log, signal: ending.signal })
}

/** The options of `slipway serve`, for a server that this process alone asks. */
function readOptions(paths: readonly string[], options: Record<string, unknown>): StartServerOptions {
  const config = readConfig({
    flags: flagValues(options),
    environment: process.env,
    file: options['config'] as string | undefined,
    modelsNamed: true,
  })
  for (const warning of config.warnings) note(`warning: ${warning}`)
  const folder = join(process.env['LAMBDA_TASK_ROOT'] ?? '.', 'model')
  const fallback = { models: existsSync(folder) ? [{ path: folder }] : [], missing: undefined, empty: false }
  const models = modelEntries(paths, options['name'] as string | undefined, config.options.models, fallback)
  return { ...config.options, models, host: '127.0.0.1', port: 0, insecure: false, processes: 1 }
}

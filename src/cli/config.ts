import { resolveServing } from '../contract/serving-options.ts'
import { usableCores } from '../core/cores.ts'
import { readConfig, settings } from '../server/config.ts'
import { resolveServer } from '../server/options.ts'
import { addSettingFlags, flagValues } from './server/serve.ts'
import { note, print, table } from './output.ts'
import type { Command } from 'commander'

/** Printed in place of secret values. */
const SECRET = '***'

export function define(command: Command): void {
  const view = command
    .command('view')
    .description('print the resolved configuration')
    .option('--show-origin', 'say where each value comes from')
    .option('--config <file>', 'server file')
    .option('--json', 'print JSON')
  addSettingFlags(view)
  view
    .addHelpText(
      'after',
      '\nOrder: flag > environment > server file > variables of the platform > package (serving: in slipway.yaml) > built in.',
    )
    .action((options: Record<string, unknown>) => {
      const read = readConfig({ flags: flagValues(options), environment: process.env, file: options['config'] as string | undefined })
      for (const warning of read.warnings) note(`warning: ${warning}`)
      const origins = new Map(read.origins.map((origin) => [origin.key, origin.origin]))
      const server = resolveServer(read.options)
      const headers = Object.fromEntries(Object.keys(server.tracing.headers).map((name) => [name, SECRET]))
      const serving = resolveServing(usableCores().count, read.options.serving)
      const dialects = server.dialects.map(({ name, port }) => (port === undefined ? name : `${name}@${port}`))
      const resolved = { ...server, dialects, serving, tracing: { ...server.tracing, headers } }
      const rows = [...settings().keys()].map((key) => ({
        key,
        value: valueAt(resolved, key),
        origin: origins.get(key) ?? (key.startsWith('serving.') ? 'built in (a package may say otherwise)' : 'built in'),
      }))
      const [model] = server.models.length === 0 ? read.platform.models : []
      if (model !== undefined) rows.push({ key: 'models', value: model.path, origin: origins.get('host')?.split(' (')[0] ?? 'platform' })
      if (options['json'] === true) print(JSON.stringify(options['showOrigin'] === true ? rows : resolved))
      else
        print(
          table(
            rows.map(({ key, value, origin }) => [
              key,
              value === undefined ? '-' : String(value),
              ...(options['showOrigin'] === true ? [origin] : []),
            ]),
          ),
        )
    })
}

function valueAt(config: object, key: string): unknown {
  let at: unknown = config
  for (const part of key.split('.')) at = (at as Record<string, unknown> | undefined)?.[part]
  return Array.isArray(at) ? at.join(',') : at
}

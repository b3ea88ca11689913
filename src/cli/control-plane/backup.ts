import { createWriteStream } from 'node:fs'
import { rename, rm, stat } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { SlipwayError } from '../../core/errors.ts'
import { formatBytes } from '../../core/units.ts'
import { print, table } from '../output.ts'
import { asksRegistry, clientOf } from './registry-command.ts'
import type { Command } from 'commander'
import type { BackupManifest } from '../../storage/backup/manifest.ts'
import type { RegistryOptions } from './registry-command.ts'

export function define(command: Command): void {
  asksRegistry(command.argument('<file>', 'a tar archive, which is made'))
    .option('--objects <yes|no>', 'whether the bytes of files go into it. Default: yes where they lie in a folder, no on S3')
    .addHelpText(
      'after',
      '\nThe control plane goes on meanwhile. Keep the file as you keep the database: secrets of webhooks and hashes of keys are in it.\nBack with: slipway restore FILE',
    )
    .action(backup)
}

/** Writes to a temporary file, which is renamed when the backup is complete. */
async function backup(file: string, options: RegistryOptions & { objects?: string }): Promise<void> {
  if (options.objects !== undefined && options.objects !== 'yes' && options.objects !== 'no')
    throw new SlipwayError('SLW_USAGE', `--objects ${options.objects}: expected yes or no`)
  const client = await clientOf(options)
  const response = await client.open('/backup', {
    query: { objects: options.objects === undefined ? undefined : String(options.objects === 'yes') },
  })
  const manifest = JSON.parse(decodeURIComponent(response.headers.get('slipway-backup') ?? '{}')) as BackupManifest
  const partial = `${file}.part-${process.pid}`
  try {
    await pipeline(Readable.fromWeb(response.body as never), createWriteStream(partial, { mode: 0o600 })).catch((error: unknown) => {
      throw new SlipwayError('SLW_UNREACHABLE', `the backup was cut off: ${(error as Error).message}`)
    })
    await rename(partial, file)
  } finally {
    await rm(partial, { force: true })
  }
  if (options.output === 'json') return print(JSON.stringify({ apiVersion: 'slipway/v1', kind: 'Backup', file, ...manifest }, undefined, 2))
  print(contentsText(manifest))
  print(`${file}: ${formatBytes((await stat(file)).size)}`)
}

/** Contents of a backup, as text. */
export function contentsText({ version, createdAt, tables, objects }: BackupManifest): string {
  const rows = Object.entries(tables).filter(([, count]) => count > 0)
  return [
    `made by slipway ${version} at ${createdAt}`,
    table(rows.map(([name, count]) => [`  ${name}`, String(count)])),
    objects.included
      ? `  bytes of ${objects.count} files: ${formatBytes(objects.bytes)}`
      : `  without the bytes of ${objects.count} files (${formatBytes(objects.bytes)}), which lie where they were`,
  ].join('\n')
}

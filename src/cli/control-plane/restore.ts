import { createReadStream } from 'node:fs'
import { access, mkdir, readdir, rename, rm } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { ROOMS } from '../../control-plane/rooms.ts'
import { ERRORS, SlipwayError } from '../../core/errors.ts'
import { restoreBackup } from '../../storage/backup/restore-backup.ts'
import { lockDatabase } from '../../storage/sql/file-lock.ts'
import { contentsText } from './backup.ts'
import { note, print } from '../output.ts'
import type { Command } from 'commander'

interface RestoreOptions {
  readonly data: string
  readonly db?: string
  readonly objects?: string
  readonly replace?: boolean
  readonly withDamaged?: boolean
}

export function define(command: Command): void {
  command
    .argument('<file>', 'what `slipway backup` has made')
    .option('--data <folder>', 'the data folder of `slipway up`, which must be stopped', '.slipway')
    .option('--db <url>', 'an empty database instead: sqlite:PATH or postgres://...')
    .option('--objects <url>', 'where the bytes go instead: file:PATH or s3://bucket/prefix')
    .option('--replace', 'also where the data folder has something in it; that is kept beside it under another name')
    .option('--with-damaged', 'also where files are damaged: everything else is restored, and they are named')
    .addHelpText('after', '\nA backup of SQLite may be restored into PostgreSQL, and one of a folder into S3, and back.')
    .action(restore)
}

async function restore(file: string, options: RestoreOptions): Promise<void> {
  await access(file).catch(() => {
    throw new SlipwayError('SLW_PATH_NOT_FOUND', `${file}: no such file`)
  })
  const data = resolve(options.data)
  const archive = createReadStream(file)
  const onObject = (done: number, total: number): void => {
    if (process.stderr.isTTY || done === total) note(`${done} of ${total} files`)
  }
  let checked = 0
  const onChecked = (): void => {
    checked++
    if (process.stderr.isTTY) note(`${checked} files read back`)
  }
  const common = { archive, folder: `${data}.restoring`, onObject, onChecked, rooms: ROOMS, withDamaged: options.withDamaged ?? false }
  if (options.db !== undefined) {
    const objects = options.objects ?? `file:${join(data, 'objects')}`
    const { manifest, damaged } = await restoreBackup({ ...common, database: options.db, objects })
    print(contentsText(manifest))
    return tellDamaged(damaged)
  }
  const taken = (await readdir(data).catch(() => [])).length > 0
  if (taken && options.replace !== true)
    throw new SlipwayError(
      'SLW_CONFLICT',
      `${options.data} has something in it: give another folder with --data, or --replace to put it aside`,
    )
  await requireStopped(data)
  // The backup is restored into a folder beside, which is renamed when it is complete.
  const beside = `${data}.restored`
  await rm(beside, { recursive: true, force: true })
  await mkdir(beside, { recursive: true })
  const { manifest, damaged } = await restoreBackup({
    ...common,
    database: `sqlite:${join(beside, 'slipway.db')}`,
    objects: options.objects ?? `file:${join(beside, 'objects')}`,
  })
  if (taken) {
    const aside = `${data}.before-${new Date().toISOString().slice(0, 19).replaceAll(':', '-')}`
    await rename(data, aside)
    note(`what was there is now in ${aside}`)
  } else await rm(data, { recursive: true, force: true })
  await mkdir(dirname(data), { recursive: true })
  await rename(beside, data)
  print(contentsText(manifest))
  print(
    `\nNext: slipway up --data ${options.data}\nServers that followed it go on with what they serve until you say that this is the one to follow: slipway server adopt`,
  )
  tellDamaged(damaged)
}

/** Names what is damaged, and ends the command with the code for that. */
function tellDamaged(damaged: readonly string[]): void {
  for (const file of damaged) note(`damaged: ${file}`)
  if (damaged.length > 0) process.exitCode = ERRORS.SLW_STORE_CORRUPT.exit
}

/** Fails while a control plane has the database open: that process would go on with a file that is not there any more. */
async function requireStopped(data: string): Promise<void> {
  const path = join(data, 'slipway.db')
  const there = await access(path).then(
    () => true,
    () => false,
  )
  if (there) await (await lockDatabase(path))[Symbol.asyncDispose]()
}

import assert from 'node:assert/strict'
import { mkdir, readdir, utimes, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { Readable } from 'node:stream'
import { after, before, describe, it } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { systemClock } from '../../src/core/clock.ts'
import { REGISTRY_STEPS } from '../../src/core/fail-point.ts'
import { collect } from '../../src/files/collect.ts'
import { openObjectStore } from '../../src/storage/objects/open.ts'
import { until } from '../fixtures.ts'
import { newMigratedPostgres } from '../storage/databases.ts'
import { openPlace } from '../storage/open-place.ts'
import { startS3Server } from '../storage/s3-server.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { upInChild } from './up-in-child.ts'
import type { VersityServer } from '../storage/s3-server.ts'
import type { ChildControlPlane } from './up-in-child.ts'

type Step = (typeof REGISTRY_STEPS)[number]

/** Those that a client's call reaches; what else there is, is killed in tests of its own. */
const OF_CALLS = REGISTRY_STEPS.filter((step) => !/^(collect|trash|restore|import)\./.test(step))

interface Story {
  readonly run: string
  readonly uploaded: boolean
  readonly joined: boolean
  readonly registered: boolean
  readonly aliased: boolean
}

/** Sends a file in parts, of which one attempt is given up. @returns whether it is said to be there */
async function sendParts(plane: ChildControlPlane, run: string): Promise<boolean> {
  const ask = async (what: string, fields: object): Promise<Response> =>
    await fetch(`${plane.url}/api/2.0/mlflow-artifacts/mpu/${what}/0/${run}/artifacts`, { method: 'POST', body: JSON.stringify(fields) })
  const begin = async (path: string): Promise<{ upload_id: string; credentials: { url: string }[] }> =>
    (await (await ask('create', { path, num_parts: 1 })).json()) as never
  const { upload_id: given } = await begin('never.bin')
  await ask('abort', { path: 'never.bin', upload_id: given })
  const { upload_id: id, credentials } = await begin('parts.bin')
  const etag = (await fetch(credentials[0]!.url, { method: 'PUT', body: 'from parts' })).headers.get('etag')
  return (await ask('complete', { path: 'parts.bin', upload_id: id, parts: [{ part_number: 1, etag }] })).status === 200
}

/** Uploads files, registers them, names the version; each answered call is a promise that must hold. */
async function tell(plane: ChildControlPlane, run: string): Promise<Story> {
  const done = { run, uploaded: false, joined: false, registered: false, aliased: false }
  try {
    done.uploaded = (await plane.putFile(`0/${run}/artifacts/model/model.onnx`, 'the weights')) === 200
    done.joined = await sendParts(plane, run)
    const source = `runs:/${run}/model`
    done.registered = (await plane.call('POST', 'model-versions/create', { name: 'm', source, run_id: run })).status === 200
    done.aliased = (await plane.call('POST', 'registered-models/alias', { name: 'm', alias: 'champion', version: '2' })).status === 200
  } catch {
    // It was killed.
  }
  return done
}

async function requireWhole(plane: ChildControlPlane, story: Story): Promise<void> {
  const file = await fetch(`${plane.url}/api/2.0/mlflow-artifacts/artifacts/0/${story.run}/artifacts/model/model.onnx`)
  const text = await file.text()
  if (file.status === 200) assert.equal(text, 'the weights')
  else assert.equal(story.uploaded, false, 'an upload that was answered is lost')
  const joined = await fetch(`${plane.url}/api/2.0/mlflow-artifacts/artifacts/0/${story.run}/artifacts/parts.bin`)
  if (joined.status === 200) assert.equal(await joined.text(), 'from parts')
  else assert.equal(story.joined, false, 'an upload in parts that was answered is lost')
  const version = await plane.call('GET', 'model-versions/get', { name: 'm', version: '2' })
  if (version.status === 200) {
    const { body } = await plane.call('GET', 'model-versions/get-download-uri', { name: 'm', version: '2' })
    const copy = await fetch(
      `${plane.url}/api/2.0/mlflow-artifacts/artifacts/${String(body['artifact_uri']).slice('mlflow-artifacts:/'.length)}/model.onnx`,
    )
    assert.equal(await copy.text(), 'the weights')
  } else assert.equal(story.registered, false, 'a version that was answered is lost')
  const alias = await plane.call('GET', 'registered-models/alias', { name: 'm', alias: 'champion' })
  if (alias.status !== 200 || alias.body['model_version'].version !== '2')
    assert.equal(story.aliased, false, 'an alias that was answered is lost')
  // What comes next gets the next number, and events have no gap.
  const next = await plane.call('POST', 'model-versions/create', { name: 'm', source: 's3://elsewhere/x' })
  assert.equal(next.body['model_version'].version, version.status === 200 ? '3' : '2')
}

/** Every file can be read, and no object is left that no file has. */
async function requireClean(place: Place): Promise<void> {
  await using database = await openPlace(place.database)
  await using objects = await openObjectStore(place.objects)
  await collect({ database, objects, clock: systemClock, graceMs: -60_000 })
  const sequences = await database.read.selectFrom('events').select('sequence').orderBy('sequence').execute()
  assert.deepEqual(
    sequences.map(({ sequence }) => sequence),
    sequences.map((_, index) => index + 1),
  )
  const known = await database.read.selectFrom('contents').select('object_key').execute()
  const keys: string[] = []
  // An upload that was killed is forgotten when its row expires, which is a day; its object goes then.
  const uploads = new Set((await database.read.selectFrom('uploads').select('object_key').execute()).map((row) => row.object_key))
  for (const { object_key: key } of known) uploads.delete(key)
  for await (const { key } of objects.list('')) if (!uploads.has(key)) keys.push(key)
  assert.deepEqual(keys.toSorted(), known.map((row) => row.object_key).toSorted())
}

/** A database and an object store. */
interface Place {
  readonly args: readonly string[]
  readonly database: string
  readonly objects: string
  /** Folder with the objects as files. */
  readonly objectFolder: string
}

const OLD_MS = 2 * 3600_000
const TRASH_MS = 31 * 24 * 3600_000

/** As if two hours had passed: whoever starts next keeps up at once. */
async function expire({ database: url }: Place): Promise<void> {
  await using database = await openPlace(url)
  await database.write(async (write) => {
    const old = Date.now() - OLD_MS
    await write.updateTable('leases').set({ expires_at: old }).execute()
    await write.deleteFrom('work_items').execute()
    await write
      .updateTable('contents')
      .set({ unreferenced_since: old })
      .where((columns) =>
        columns.not(columns.exists(columns.selectFrom('files').select('path').whereRef('files.content_id', '=', 'contents.id'))),
      )
      .execute()
  })
}

/** Puts objects that no row refers to, as a crash leaves them, and makes all objects two hours old. */
async function putOld(place: Place, keys: readonly string[]): Promise<void> {
  await using objects = await openObjectStore(place.objects)
  for (const key of keys) await objects.put(key, Readable.from([Buffer.from('what a crash left')]))
  const old = (Date.now() - OLD_MS) / 1000
  for (const entry of await readdir(place.objectFolder, { recursive: true, withFileTypes: true }))
    if (entry.isFile()) await utimes(join(entry.parentPath, entry.name), old, old)
}

/** As if what is in the trash had been there for a month. */
async function agedTrash({ database: url }: Place): Promise<void> {
  await using database = await openPlace(url)
  await database.write(async (write) => {
    const old = Date.now() - TRASH_MS
    for (const table of ['models', 'versions', 'runs', 'experiments'] as const)
      await write.updateTable(table).set({ deleted_at: old }).where('deleted_at', 'is not', null).execute()
  })
}

/** Starts until the step, at which it is killed; it may be before it says that it is up. */
async function killedAt(step: Step, place: Place, trigger: string): Promise<void> {
  await writeFile(trigger, '')
  const environment = { SLIPWAY_FAIL_POINTS: `${step}:kill@${trigger}` }
  const up = await upInChild(place.args, environment).catch((error: unknown) => String(error))
  if (typeof up === 'string') return assert.match(up, /SIGKILL/)
  await using plane = up
  const late = pause(20_000, `nothing comes to ${step}`, { ref: false })
  assert.equal(await Promise.race([plane.exit, late]), 'SIGKILL')
}

/** Waits until the upkeep of a control plane that is up has come to its end. */
async function upkept(place: Place): Promise<void> {
  await using plane = await upInChild(place.args)
  await using database = await openPlace(place.database)
  await until(async () => {
    const item = await database.read.selectFrom('work_items').selectAll().where('kind', '=', 'upkeep').executeTakeFirst()
    return item?.state === 'waiting' && item.started_at !== null && item.error === null
  }, 'the upkeep is done')
  plane.signal('SIGTERM')
  assert.equal(await plane.exit, 0)
}

async function loggedFiles(plane: ChildControlPlane, texts: readonly string[]): Promise<string> {
  const { body } = await plane.call('POST', 'runs/create', { experiment_id: '0' })
  const run = String(body['run'].info.run_id)
  for (const text of texts) assert.equal(await plane.putFile(`0/${run}/artifacts/a.txt`, text), 200)
  return run
}

async function stopped(plane: ChildControlPlane): Promise<void> {
  plane.signal('SIGTERM')
  assert.equal(await plane.exit, 0)
}

let s3: VersityServer
before(async () => {
  s3 = await startS3Server()
})
after(async () => {
  await s3[Symbol.asyncDispose]()
})

/** Where a laptop keeps things, and where a company does. */
const PLACES: Readonly<Record<string, (folder: string) => Promise<Place>>> = {
  'SQLite, files': async (folder) => {
    const data = join(folder, 'data')
    await mkdir(data)
    const objectFolder = join(data, 'objects')
    return { args: ['--data', data, '--no-server'], database: `sqlite:${join(data, 'slipway.db')}`, objects: objectFolder, objectFolder }
  },
  'PostgreSQL, S3': async (folder) => {
    const [database, prefix] = [await newMigratedPostgres(), basename(folder)]
    const objects = s3.urlOf(prefix)
    const args = ['--data', join(folder, 'data'), '--db', database, '--objects', objects, '--no-server']
    return { args, database, objects, objectFolder: join(s3.folder, prefix) }
  },
}

for (const [name, open] of Object.entries(PLACES))
  describe(`a control plane that is killed (${name})`, { concurrency: 2, timeout: 600_000 }, () => {
    for (const step of OF_CALLS)
      it(`at ${step}: what it had answered is there, nothing is half there`, async () => {
        await using folder = await temporaryFolder()
        const place = await open(folder.path)
        const trigger = join(folder.path, 'now')
        let story: Story
        {
          await using plane = await upInChild(place.args, { SLIPWAY_FAIL_POINTS: `${step}:kill@${trigger}` })
          await plane.call('POST', 'registered-models/create', { name: 'm' })
          await plane.call('POST', 'model-versions/create', { name: 'm', source: 's3://elsewhere/x' })
          await plane.call('POST', 'registered-models/alias', { name: 'm', alias: 'champion', version: '1' })
          const { body } = await plane.call('POST', 'runs/create', { experiment_id: '0' })
          await writeFile(trigger, '')
          story = await tell(plane, body['run'].info.run_id as string)
          assert.equal(await plane.exit, 'SIGKILL', `${step} was not reached`)
        }
        {
          await using plane = await upInChild(place.args)
          await requireWhole(plane, story)
          await stopped(plane)
        }
        await requireClean(place)
      })

    for (const step of ['collect.marked', 'collect.dropped', 'collect.deleted', 'collect.orphan'] satisfies Step[])
      it(`at ${step}: collection goes on where it stopped`, async () => {
        await using folder = await temporaryFolder()
        const place = await open(folder.path)
        {
          await using plane = await upInChild(place.args)
          await loggedFiles(plane, ['one', 'two', 'three'])
          await stopped(plane)
        }
        await expire(place)
        const orphans = ['left-by-one', 'left-by-another']
        await putOld(place, orphans)
        await killedAt(step, place, join(folder.path, 'now'))
        await expire(place)
        await upkept(place)
        await using objects = await openObjectStore(place.objects)
        for (const key of orphans) assert.equal(await objects.head(key), undefined, 'what nobody refers to is gone')
        await requireClean(place)
        await using plane = await upInChild(place.args)
        const { body } = await plane.call('POST', 'runs/search', { experiment_ids: ['0'] })
        const file = await fetch(`${plane.url}/api/2.0/mlflow-artifacts/artifacts/0/${body['runs'][0].info.run_id}/artifacts/a.txt`)
        assert.equal(await file.text(), 'three')
      })

    it('at trash.purged: the rest of the trash goes when it starts again, and nothing else', async () => {
      await using folder = await temporaryFolder()
      const place = await open(folder.path)
      let kept = ''
      {
        await using plane = await upInChild(place.args)
        const deleted = await loggedFiles(plane, ['of a run that is deleted'])
        kept = await loggedFiles(plane, ['of a run that stays'])
        for (const name of ['gone', 'stays']) {
          await plane.call('POST', 'registered-models/create', { name })
          assert.equal((await plane.call('POST', 'model-versions/create', { name, source: `runs:/${kept}/a.txt` })).status, 200)
        }
        assert.equal((await plane.call('POST', 'runs/delete', { run_id: deleted })).status, 200)
        assert.equal((await plane.call('DELETE', 'registered-models/delete', { name: 'gone' })).status, 200)
        await stopped(plane)
      }
      await expire(place)
      await agedTrash(place)
      await killedAt('trash.purged', place, join(folder.path, 'now'))
      await expire(place)
      await upkept(place)
      await using database = await openPlace(place.database)
      const rows = async (table: 'models' | 'runs' | 'versions'): Promise<number> =>
        Number(
          (
            await database.read
              .selectFrom(table)
              .select((columns) => columns.fn.countAll().as('n'))
              .executeTakeFirstOrThrow()
          ).n,
        )
      assert.deepEqual([await rows('models'), await rows('versions'), await rows('runs')], [1, 1, 1])
      await using plane = await upInChild(place.args)
      const file = await fetch(`${plane.url}/api/2.0/mlflow-artifacts/artifacts/0/${kept}/artifacts/a.txt`)
      assert.equal(await file.text(), 'of a run that stays')
      assert.equal((await plane.call('GET', 'model-versions/get', { name: 'stays', version: '1' })).status, 200)
      await stopped(plane)
      await requireClean(place)
    })
  })
